#include "tools/training_arguments.h"

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/runtime_bytes.h"

namespace plimsoll {
namespace {

// Device memory, and what CUDA takes of it where the GPU is known.
absl::Status SetDevice(const TrainingArguments& arguments, TrainingOptions& options) {
  if (!arguments.gpu.empty()) {
    const absl::StatusOr<GpuSpec> gpu = FindGpu(arguments.gpu);
    if (!gpu.ok()) return gpu.status();
    options.device_bytes = gpu->memory();
    options.runtime = EstimateRuntime(*gpu, /*layers=*/0).bytes;  // training captures no graphs
  }
  if (arguments.memory.empty()) return absl::OkStatus();
  const absl::StatusOr<Bytes> memory = ParseSize(arguments.memory, "memory");
  if (!memory.ok()) return memory.status();
  options.device_bytes = *memory;
  return absl::OkStatus();
}

absl::Status SetNamed(const TrainingArguments& arguments, TrainingOptions& options) {
  const absl::StatusOr<Recompute> recompute = RecomputeFromName(arguments.recompute);
  if (!recompute.ok()) return recompute.status();
  options.recompute = *recompute;
  const absl::StatusOr<Offload> offload = OffloadFromName(arguments.offload);
  if (!offload.ok()) return offload.status();
  options.offload = *offload;
  if (arguments.activation_formula.empty()) return absl::OkStatus();
  const auto formula = ActivationFormulaFromName(arguments.activation_formula);
  if (!formula.ok()) return formula.status();
  options.activation_formula = *formula;
  return absl::OkStatus();
}

absl::StatusOr<TrainingOptions> OptionsFrom(const TrainingArguments& arguments) {
  const absl::StatusOr<TrainingMethod> method = TrainingMethodFromName(arguments.method);
  if (!method.ok()) return method.status();
  if (arguments.sequence < 0) return BadField("sequence", arguments.sequence, "1 or more");
  TrainingOptions options{.method = *method,
                          .batch = arguments.batch,
                          .sequence = Tokens(arguments.sequence),
                          .lora_rank = arguments.lora_rank,
                          .lora_targets = arguments.lora_targets,
                          .zero_stage = arguments.zero_stage,
                          .gpus = arguments.gpus,
                          .tensor_parallel = arguments.tensor_parallel,
                          .pipeline_parallel = arguments.pipeline_parallel,
                          .interleave = arguments.interleave,
                          .expert_parallel = arguments.expert_parallel,
                          .sequence_parallel = arguments.sequence_parallel};
  PLIMSOLL_RETURN_IF_ERROR(SetNamed(arguments, options));
  PLIMSOLL_RETURN_IF_ERROR(SetDevice(arguments, options));
  return options;
}

void AddModelOptions(CLI::App& command, TrainingArguments& a, bool required) {
  command.add_option("--model", a.model, "Model folder or its config.json");
  command.add_option("--parameters", a.parameters, "Number of parameters, in place of a model");
  command
      .add_option("--method", a.method,
                  "full-fp32, mixed, mixed-fp32-grads, mixed-both-grads, bf16, adam8bit, "
                  "bf16-adam8bit, sgd, lora or qlora")
      ->required(required);
  command.add_option("--batch", a.batch, "Sequences that one replica works on at once")
      ->required(required);
  command.add_option("--sequence", a.sequence, "Tokens of each sequence")->required(required);
  command.add_option("--lora-rank", a.lora_rank, "Rank of the adapters")->capture_default_str();
  command
      .add_option("--lora-targets", a.lora_targets,
                  "Matrices to adapt, by the end of their name, or all-linear")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--recompute", a.recompute, "none, selective or full")->capture_default_str();
  command.add_option("--activation-formula", a.activation_formula,
                     "architecture (default for a model) or classic");
}

void AddPlaceOptions(CLI::App& command, TrainingArguments& a) {
  command.add_option("--zero", a.zero_stage, "ZeRO stage, 0 to 3")->capture_default_str();
  command.add_option("--gpus", a.gpus, "GPUs in all")->capture_default_str();
  command
      .add_option("--tensor-parallel", a.tensor_parallel, "GPUs that share each layer of a replica")
      ->capture_default_str();
  command.add_flag("--sequence-parallel", a.sequence_parallel,
                   "Split what tensor parallelism repeats");
  command
      .add_option("--pipeline-parallel", a.pipeline_parallel,
                  "Stages of a replica, with at least as many batches in a step")
      ->capture_default_str();
  command.add_option("--interleave", a.interleave, "Chunks of layers that each stage holds")
      ->capture_default_str();
  command.add_option("--expert-parallel", a.expert_parallel, "Replicas that share their experts")
      ->capture_default_str();
  command.add_option("--offload", a.offload, "none, cpu or nvme")->capture_default_str();
  command.add_option("--gpu", a.gpu, "GPU by name: does it fit, and how many are needed");
  command.add_option("--memory", a.memory, "Device memory (SIZE); overrides that of --gpu");
}

}  // namespace

void AddTrainingArguments(CLI::App& command, TrainingArguments& arguments, bool required) {
  AddModelOptions(command, arguments, required);
  AddPlaceOptions(command, arguments);
}

absl::StatusOr<TrainingPlan> TrainingRequest::Plan() const {
  return std::visit([this](const auto& known) { return PlanTraining(known, options); }, model);
}

absl::StatusOr<TrainingRequest> TrainingRequestFrom(const TrainingArguments& arguments) {
  if (arguments.model.empty() == arguments.parameters.empty()) {
    return absl::InvalidArgumentError(
        "plan-training: want one model; give either --model PATH or --parameters N");
  }
  absl::StatusOr<TrainingOptions> options = OptionsFrom(arguments);
  if (!options.ok()) return options.status();
  if (!arguments.parameters.empty()) {
    const absl::StatusOr<int64_t> count = ParseParameterCount(arguments.parameters);
    if (!count.ok()) return count.status();
    return TrainingRequest{UsualShape(*count), *std::move(options)};
  }
  absl::StatusOr<ModelConfig> model = ReadModelConfig(arguments.model);
  if (!model.ok()) return model.status();
  return TrainingRequest{*std::move(model), *std::move(options)};
}

}  // namespace plimsoll
