// The tensors of a checkpoint, one by one, from the families that a ModelConfig lists.
//
// Threads: pure. Cost: O(tensors visited). Errors: none.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kvcache/model/model_config.h"

namespace plimsoll {

// `spec.name` with the numbers in place of "{layer}" and "{expert}".
std::string TensorName(const TensorSpec& spec, int64_t layer, int64_t expert);

// Calls `visit(name, spec)` for every tensor, in the order of the specs, layers and experts, until
// it returns false. True if it never did.
bool ForEachTensor(const ModelConfig& model,
                   const std::function<bool(const std::string& name, const TensorSpec&)>& visit);

}  // namespace plimsoll
