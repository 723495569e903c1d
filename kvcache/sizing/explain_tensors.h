// The steps of an explanation that go through a model's tensors and layers one kind at a time.
//
// Threads: pure. Cost: O(tensors), O(layers) strings. Errors: none.
#pragma once

#include <vector>

#include "kvcache/base/element_type.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/explain.h"

namespace plimsoll {

// Each tensor's shape, copies and elements, and the sum. `model` may be one GPU's share.
std::vector<ExplainStep> TensorSteps(const ModelConfig& model);

// Each kind of attention layer: how many there are, and what one token takes in all of them; then
// the sum.
std::vector<ExplainStep> KvSteps(const ModelConfig& model, ElementType kv);

}  // namespace plimsoll
