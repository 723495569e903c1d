// What a plan is asked in JSON: a model's config.json, and an object of options.
//
// Threads: pure. Cost: O(text). Errors: InvalidArgument naming the option or the model's field.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll::c_interface {

struct PlanRequest {
  ModelConfig model;
  std::unique_ptr<const ModelConfig> draft;  // that `options` points to
  InferenceOptions options;
};

absl::StatusOr<PlanRequest> ParsePlanRequest(std::string_view model_json,
                                             std::string_view options_json);

}  // namespace plimsoll::c_interface
