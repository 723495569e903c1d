#include "kvcache/sizing/training_options.h"

#include <array>
#include <span>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

// In the order of their enums.
constexpr std::array<std::string_view, 10> kMethods = {
    "full-fp32", "mixed",    "mixed-fp32-grads", "mixed-both-grads",
    "bf16",      "adam8bit", "bf16-adam8bit",    "sgd",
    "lora",      "qlora"};
constexpr std::array<std::string_view, 3> kRecomputes = {"none", "selective", "full"};
constexpr std::array<std::string_view, 2> kFormulas = {"architecture", "classic"};
constexpr std::array<std::string_view, 3> kOffloads = {"none", "cpu", "nvme"};

std::string Listed(std::span<const std::string_view> names) {
  std::string list;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) list += i + 1 == names.size() ? " or " : ", ";
    list += names[i];
  }
  return list;
}

template <class Enum>
absl::StatusOr<Enum> FromName(std::string_view field, std::string_view name,
                              std::span<const std::string_view> names) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return BadField(field, Excerpt(name), Listed(names));
}

absl::Status CheckRange(std::string_view field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return BadField(field, value, std::to_string(min) + " to " + std::to_string(max));
}

std::string RanksText(const TrainingOptions& options) {
  std::string text = "tensor_parallel=" + std::to_string(options.tensor_parallel);
  if (options.pipeline_parallel == 1) return text;
  return text + " x pipeline_parallel=" + std::to_string(options.pipeline_parallel);
}

absl::Status CheckSplit(const TrainingOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("gpus", options.gpus, 1, kMaxTrainingGpus));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("tensor_parallel", options.tensor_parallel, 1, kMaxTensorParallel));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("pipeline_parallel", options.pipeline_parallel, 1, kMaxTensorParallel));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("interleave", options.interleave, 1, kMaxTensorParallel));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("expert_parallel", options.expert_parallel, 1, kMaxTensorParallel));
  if (options.gpus % options.ranks() != 0) {
    return BadField("gpus", options.gpus, "a multiple of " + RanksText(options));
  }
  if (options.replicas() % options.expert_parallel != 0) {
    return BadField("expert_parallel", options.expert_parallel,
                    "a divisor of the " + std::to_string(options.replicas()) + " replicas");
  }
  if (options.interleave > 1 && options.pipeline_parallel == 1) {
    return BadField("interleave", options.interleave, "pipeline_parallel of 2 or more beside it");
  }
  if (options.sequence_parallel && options.tensor_parallel == 1) {
    return BadField("sequence_parallel", "true", "tensor_parallel of 2 or more beside it");
  }
  return CheckRange("zero", options.zero_stage, 0, 3);
}

absl::Status CheckAdapters(const TrainingOptions& options) {
  if (!options.trains_adapters()) return absl::OkStatus();
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("lora_rank", options.lora_rank, 1, kMaxLoraRank));
  if (!options.lora_targets.empty()) return absl::OkStatus();
  return BadField("lora_targets", "", "at least one matrix, such as q_proj");
}

}  // namespace

absl::Status CheckTrainingOptions(const TrainingOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("batch", options.batch, 1, kMaxTrainingBatch));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("sequence", options.sequence.value(), 1, kMaxTokens));
  PLIMSOLL_RETURN_IF_ERROR(CheckAdapters(options));
  PLIMSOLL_RETURN_IF_ERROR(CheckSplit(options));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("runtime", options.runtime.value(), 0, kMaxBytes.value()));
  if (!options.device_bytes) return absl::OkStatus();
  return CheckRange("device_bytes", options.device_bytes->value(), 1, kMaxBytes.value());
}

std::string_view NameOf(TrainingMethod method) { return kMethods[static_cast<size_t>(method)]; }
std::string_view NameOf(Recompute recompute) { return kRecomputes[static_cast<size_t>(recompute)]; }
std::string_view NameOf(ActivationFormula formula) {
  return kFormulas[static_cast<size_t>(formula)];
}
std::string_view NameOf(Offload offload) { return kOffloads[static_cast<size_t>(offload)]; }

absl::StatusOr<TrainingMethod> TrainingMethodFromName(std::string_view name) {
  return FromName<TrainingMethod>("method", name, kMethods);
}
absl::StatusOr<Recompute> RecomputeFromName(std::string_view name) {
  return FromName<Recompute>("recompute", name, kRecomputes);
}
absl::StatusOr<ActivationFormula> ActivationFormulaFromName(std::string_view name) {
  return FromName<ActivationFormula>("activation_formula", name, kFormulas);
}
absl::StatusOr<Offload> OffloadFromName(std::string_view name) {
  return FromName<Offload>("offload", name, kOffloads);
}

}  // namespace plimsoll
