// LoRA: beside each adapted matrix of out x in stand two small ones, r x in and out x r.
//
//   adapter parameters = sum over adapted matrices of r x (in + out)
//
// Threads: pure. Cost: O(tensors). Errors: InvalidArgument naming the field.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/training_textbook.h"

namespace plimsoll {

struct AdapterCount {
  int64_t matrices = 0;    // adapted ones, over all layers and experts
  int64_t active = 0;      // of them, those that one token passes through
  int64_t parameters = 0;  // of all adapters
  int64_t of_experts = 0;  // of them, in adapters of experts
};

// Adapts the linear matrices whose name ends in one of `targets` ("q_proj"); the target
// "all-linear" means every one. A target that the model lacks is refused, with those it has.
absl::StatusOr<AdapterCount> CountAdapters(const ModelConfig& model,
                                           const std::vector<std::string>& targets, int64_t rank);
absl::StatusOr<AdapterCount> CountAdapters(const TextbookModel& model,
                                           const std::vector<std::string>& targets, int64_t rank);

// Of `targets`, those that a part of a model has; its other parts have the rest.
std::vector<std::string> TargetsIn(const ModelConfig& part,
                                   const std::vector<std::string>& targets);

}  // namespace plimsoll
