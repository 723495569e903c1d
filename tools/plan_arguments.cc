#include "tools/plan_arguments.h"

#include <optional>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/model_folder.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/solve.h"

namespace plimsoll {
namespace {

absl::StatusOr<std::optional<WeightFormat>> WeightsOf(const std::string& name) {
  if (name.empty()) return std::nullopt;
  const std::optional<WeightFormat> format = WeightFormatFromName(name);
  if (format) return format;
  return BadField("weights", Excerpt(name), "one of " + WeightFormatNames());
}

absl::StatusOr<std::optional<ElementType>> TypeOf(std::string_view option,
                                                  const std::string& name) {
  if (name.empty()) return std::nullopt;
  const std::optional<ElementType> type = ElementTypeFromName(name);
  if (type) return type;
  return BadField(option, Excerpt(name), "fp32, tf32, fp16, bf16, fp8, int8 or int4");
}

// A negative number is no count; the plan checks the rest of each range.
absl::Status CheckNotNegative(const PlanArguments& arguments) {
  const auto check = [](std::string_view option, int64_t value) {
    return value >= 0 ? absl::OkStatus() : BadField(option, value, "a number that is not negative");
  };
  PLIMSOLL_RETURN_IF_ERROR(check("block_tokens", arguments.block_tokens));
  PLIMSOLL_RETURN_IF_ERROR(check("max_batched_tokens", arguments.max_batched_tokens));
  PLIMSOLL_RETURN_IF_ERROR(check("lookahead_tokens", arguments.lookahead_tokens));
  PLIMSOLL_RETURN_IF_ERROR(check("shared_prefix", arguments.shared_prefix));
  for (const int64_t context : arguments.contexts) {
    PLIMSOLL_RETURN_IF_ERROR(check("context", context));
  }
  return absl::OkStatus();
}

// Device memory and what the runtime takes of it, from --gpu, --memory or both.
absl::Status SetDevice(const PlanArguments& arguments, PlanRequest& request) {
  InferenceOptions& options = request.options;
  options.runtime_formula = "no GPU named, so none counted";
  if (!arguments.gpu.empty()) {
    const absl::StatusOr<GpuSpec> gpu = FindGpu(arguments.gpu);
    if (!gpu.ok()) return gpu.status();
    request.gpu = *gpu;
    options.device_bytes = gpu->memory();
  }
  if (!arguments.memory.empty()) {
    const absl::StatusOr<Bytes> memory = ParseSize(arguments.memory, "memory");
    if (!memory.ok()) return memory.status();
    options.device_bytes = *memory;
  }
  return absl::OkStatus();
}

absl::StatusOr<InferenceOptions> OptionsFrom(const PlanArguments& arguments) {
  PLIMSOLL_RETURN_IF_ERROR(CheckNotNegative(arguments));
  const auto weights = WeightsOf(arguments.weights);
  if (!weights.ok()) return weights.status();
  const auto kv = TypeOf("kv", arguments.kv);
  if (!kv.ok()) return kv.status();
  const absl::StatusOr<Bytes> margin = ParseSize(arguments.margin, "margin");
  if (!margin.ok()) return margin.status();
  InferenceOptions options{.device_bytes = Bytes(0),
                           .utilization = arguments.utilization,
                           .margin = *margin,
                           .weights = *weights,
                           .kv = *kv,
                           .block_tokens = Tokens(arguments.block_tokens),
                           .max_batched_tokens = Tokens(arguments.max_batched_tokens),
                           .max_sequences = arguments.max_sequences,
                           .tensor_parallel = arguments.tensor_parallel,
                           .pipeline_parallel = arguments.pipeline_parallel,
                           .expert_parallel = arguments.expert_parallel,
                           .lookahead_tokens = Tokens(arguments.lookahead_tokens),
                           .shared_prefix = Tokens(arguments.shared_prefix),
                           .flash_attention = !arguments.no_flash_attention,
                           .decompress_latent = arguments.decompress_latent};
  for (const int64_t context : arguments.contexts) options.contexts.emplace_back(context);
  return options;
}

absl::StatusOr<std::shared_ptr<const ModelConfig>> ReadDraft(const std::string& path) {
  if (path.empty()) return nullptr;
  absl::StatusOr<ModelConfig> draft = ReadModel(path);
  if (!draft.ok()) return Annotate(draft.status(), "draft_model");
  return std::make_shared<const ModelConfig>(*std::move(draft));
}

void AddDeploymentArguments(CLI::App& command, PlanArguments& arguments) {
  command.add_option("--tensor-parallel", arguments.tensor_parallel, "GPUs that share every layer")
      ->capture_default_str();
  command
      .add_option("--pipeline-parallel", arguments.pipeline_parallel,
                  "Stages of layers, each on GPUs of its own")
      ->capture_default_str();
  command
      .add_option("--expert-parallel", arguments.expert_parallel,
                  "GPUs over which the experts are dealt out")
      ->capture_default_str();
  command.add_option("--draft-model", arguments.draft_model,
                     "Model that drafts for speculative decoding, on the same GPUs");
  command
      .add_option("--lookahead-tokens", arguments.lookahead_tokens,
                  "Tokens drafted ahead, for which each sequence has room")
      ->capture_default_str();
  command
      .add_option("--shared-prefix", arguments.shared_prefix,
                  "First tokens that all sequences share")
      ->capture_default_str();
  command.add_flag("--no-flash-attention", arguments.no_flash_attention,
                   "Count the scores that attention keeps without flash attention");
  command.add_flag("--decompress-latent", arguments.decompress_latent,
                   "Latent attention that caches K and V rather than the latent");
}

}  // namespace

void AddPlanArguments(CLI::App& command, PlanArguments& arguments) {
  command.add_option("--model", arguments.model, "Model folder, its config.json, or a GGUF file");
  command.add_option("--gpu", arguments.gpu,
                     "GPU by name (plimsoll gpus): its memory, and an estimate of its runtime");
  command.add_option("--memory", arguments.memory, "Device memory (SIZE); overrides that of --gpu");
  command.add_option("--weights", arguments.weights,
                     "Type or storage of the weights (default: the checkpoint's)");
  command.add_option(
      "--kv", arguments.kv,
      "Type of K and V (default: fp8 where the checkpoint has scales for it, fp16 for "
      "fp16 models, else bf16)");
  command
      .add_option("--utilization", arguments.utilization,
                  "Share of the device to use, above 0, up to 1")
      ->capture_default_str();
  command.add_option("--margin", arguments.margin, "Memory to leave alone (SIZE)")
      ->capture_default_str();
  command.add_option("--block-tokens", arguments.block_tokens, "Tokens of a block, a power of two")
      ->capture_default_str();
  command.add_option("--max-batched-tokens", arguments.max_batched_tokens, "Tokens of one step")
      ->capture_default_str();
  command
      .add_option("--max-sequences", arguments.max_sequences,
                  "Sequences of one step (rows of logits)")
      ->capture_default_str();
  command.add_option("--context", arguments.contexts,
                     "Contexts to give the number of sequences for");
  AddDeploymentArguments(command, arguments);
}

absl::StatusOr<PlanRequest> PlanRequestFrom(const PlanArguments& arguments) {
  if (arguments.model.empty()) {
    return absl::InvalidArgumentError("plan: no model; give --model PATH");
  }
  absl::StatusOr<ModelConfig> model = ReadModel(arguments.model);
  if (!model.ok()) return model.status();
  absl::StatusOr<std::shared_ptr<const ModelConfig>> draft = ReadDraft(arguments.draft_model);
  if (!draft.ok()) return draft.status();
  return PlanRequestOf(arguments, *std::move(model), *std::move(draft));
}

absl::StatusOr<PlanRequest> PlanRequestOf(const PlanArguments& arguments, ModelConfig model,
                                          std::shared_ptr<const ModelConfig> draft) {
  absl::StatusOr<InferenceOptions> options = OptionsFrom(arguments);
  if (!options.ok()) return options.status();
  PlanRequest request{.model = std::move(model),
                      .options = *std::move(options),
                      .draft = std::move(draft),
                      .gpu = std::nullopt};
  PLIMSOLL_RETURN_IF_ERROR(SetDevice(arguments, request));
  request.options.draft = request.draft.get();
  if (request.gpu) {
    request.options = WithRuntimeOf(*request.gpu, request.model, std::move(request.options));
  }
  return request;
}

absl::Status CheckNamesDevice(const PlanArguments& arguments) {
  if (arguments.names_device()) return absl::OkStatus();
  return absl::InvalidArgumentError("plan: no device; give --gpu NAME or --memory SIZE");
}

}  // namespace plimsoll
