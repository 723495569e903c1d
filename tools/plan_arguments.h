// The options on the command line that describe one inference plan.
//
// Threads: none. Cost: reading the model's files. Errors: InvalidArgument naming the option or the
// file.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

// What the command line says, before it is checked.
struct PlanArguments {
  std::string model, gpu, memory, weights, kv, draft_model, margin = "0";
  double utilization = 0.92;
  int64_t block_tokens = 16;
  int64_t max_batched_tokens = 8192;
  int64_t max_sequences = 256;
  int64_t tensor_parallel = 1, pipeline_parallel = 1, expert_parallel = 1;
  int64_t lookahead_tokens = 0;
  int64_t shared_prefix = 0;
  bool no_flash_attention = false;
  bool decompress_latent = false;
  std::vector<int64_t> contexts;

  bool names_device() const { return !gpu.empty() || !memory.empty(); }
};

void AddPlanArguments(CLI::App& command, PlanArguments& arguments);

struct PlanRequest {
  ModelConfig model;
  InferenceOptions options;  // its draft is the one below
  std::shared_ptr<const ModelConfig> draft;
  std::optional<GpuSpec> gpu;  // where one was named
};

// Of models that were read. `draft` may be null.
absl::StatusOr<PlanRequest> PlanRequestOf(const PlanArguments& arguments, ModelConfig model,
                                          std::shared_ptr<const ModelConfig> draft);
// Reads the models and fills in the options. Without a device, device_bytes is zero, which no plan
// accepts.
absl::StatusOr<PlanRequest> PlanRequestFrom(const PlanArguments& arguments);

// Without --gpu and --memory: InvalidArgument saying so.
absl::Status CheckNamesDevice(const PlanArguments& arguments);

}  // namespace plimsoll
