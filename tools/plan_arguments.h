// The options on the command line that describe one inference plan.
//
// Threads: none. Cost: reading the model's config.json. Errors: InvalidArgument naming the option
// or the file.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

// What the command line says, before it is checked.
struct PlanArguments {
  std::string model, gpu, memory, weights, kv, margin = "0";
  double utilization = 0.92;
  int64_t block_tokens = 16;
  int64_t max_batched_tokens = 8192;
  int64_t max_sequences = 256;
  std::vector<int64_t> contexts;
};

void AddPlanArguments(CLI::App& command, PlanArguments& arguments);

struct PlanRequest {
  ModelConfig model;
  InferenceOptions options;
};

// Reads the model and fills in the options.
absl::StatusOr<PlanRequest> PlanRequestFrom(const PlanArguments& arguments);

}  // namespace plimsoll
