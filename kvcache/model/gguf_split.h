// How a tensor of a GGUF file divides over GPUs, by its name.
//
// What no rule names is whole on every GPU, as are latents, routers and norms.
//
// Threads: pure. Cost: O(1). Errors: none; a tensor whose extent is no whole number of heads is
// left whole.
#pragma once

#include <string_view>

#include "kvcache/model/model_config.h"

namespace plimsoll {

// `name` as after "blk.N."; `heads` of its layer, null where that has none. Of a tensor with all
// experts in one, `tensor.shape` is that of one expert.
void SplitGgufTensor(std::string_view name, const AttentionSpec* heads, TensorSpec& tensor);

}  // namespace plimsoll
