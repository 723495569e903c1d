// The modules that a quantised checkpoint leaves in the model's own type.
//
// An exception is a module's whole name ("model.layers.3.mlp.down_proj"), the end of one
// ("lm_head", "mlp.down_proj"), or the name of something that holds it ("model.layers.3.mlp"). In
// it a number stands for one layer, "*" for any, and a last part with "*" at its end for all that
// begin so.
//
// Threads: pure. Cost: O(length of the names), nothing allocated. Errors: none.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "kvcache/model/model_config.h"

namespace plimsoll {

// How many of `layers`, which are some of the tensor's, keep the model's own type; of a tensor that
// belongs to no layer, 1 or 0.
int64_t UntouchedLayers(const TensorSpec& tensor, std::span<const int32_t> layers,
                        std::span<const std::string> exceptions);

}  // namespace plimsoll
