// The modules that a quantised checkpoint names: those that it leaves in the model's own type, or
// stores in another format than the rest.
//
// A name is a module's whole name ("model.layers.3.mlp.down_proj"), the end of one ("lm_head",
// "mlp.down_proj"), or that of something that holds it ("model.layers.3.mlp"). In it a number
// stands for one layer, "*" for any, and a part with "*" at its end for all that begin so.
//
// Threads: pure. Cost: O(length of the names), nothing allocated. Errors: none.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kvcache/model/model_config.h"

namespace plimsoll {

// Stands for the layer of a tensor that belongs to none.
inline constexpr int32_t kNoLayer = -1;

// Takes the layers on which `tensor` is named out of `layers`, and returns how many those were.
int64_t TakeNamed(const TensorSpec& tensor, std::span<const std::string> names,
                  std::vector<int32_t>& layers);

}  // namespace plimsoll
