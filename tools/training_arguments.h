// The options on the command line that describe one training plan.
//
// Threads: none. Cost: reading the model's config.json. Errors: InvalidArgument naming the option
// or the file.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/training_plan.h"

namespace plimsoll {

// What the command line says, before it is checked.
struct TrainingArguments {
  std::string model, parameters, method, gpu, memory, recompute = "none", activation_formula,
                                                      offload = "none";
  int64_t batch = 0, sequence = 0, lora_rank = 16, gpus = 1, tensor_parallel = 1,
          pipeline_parallel = 1, interleave = 1, expert_parallel = 1;
  int zero_stage = 0;
  bool sequence_parallel = false;
  std::vector<std::string> lora_targets = {"q_proj", "v_proj"};
};

// Without `required`, nothing has to be given: for settings laid over others.
void AddTrainingArguments(CLI::App& command, TrainingArguments& arguments, bool required);

struct TrainingRequest {
  std::variant<ModelConfig, TextbookModel> model;
  TrainingOptions options;

  absl::StatusOr<TrainingPlan> Plan() const;
};

// Reads the model, or the number of parameters, and fills in the options.
absl::StatusOr<TrainingRequest> TrainingRequestFrom(const TrainingArguments& arguments);

}  // namespace plimsoll
