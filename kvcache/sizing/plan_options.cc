#include "kvcache/sizing/plan_options.h"

#include <string>
#include <string_view>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/sizing/block_demand.h"
#include "kvcache/sizing/cache_layout.h"

namespace plimsoll {
namespace {

absl::Status CheckRange(std::string_view field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return BadField(field, value, std::to_string(min) + " to " + std::to_string(max));
}

absl::Status CheckDevice(const InferenceOptions& options) {
  const int64_t most = kMaxBytes.value();
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("device_bytes", options.device_bytes.value(), 1, most));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("margin", options.margin.value(), 0, most));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("runtime", options.runtime.value(), 0, most));
  if (options.utilization > 0.0 && options.utilization <= 1.0) return absl::OkStatus();
  return BadField("utilization", std::to_string(options.utilization), "above 0, at most 1");
}

absl::Status CheckLoad(const InferenceOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckBlockTokens(options.block_tokens));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("max_batched_tokens", options.max_batched_tokens.value(), 1, kMaxBatchedTokens));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("max_sequences", options.max_sequences, 1, kMaxPlannedSequences));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("lookahead_tokens", options.lookahead_tokens.value(), 0, kMaxLookahead));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("shared_prefix", options.shared_prefix.value(), 0, kMaxTokens));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("attention_pieces", options.attention_pieces, 0, kMaxAttentionPieces));
  for (const Tokens context : options.contexts) {
    PLIMSOLL_RETURN_IF_ERROR(CheckRange("context", context.value(), 1, kMaxTokens));
  }
  return absl::OkStatus();
}

absl::Status CheckStoredType(const ModelConfig& model) {
  if (!model.quantization || model.storage || model.headers) return absl::OkStatus();
  return absl::InvalidArgumentError("quantization_config: the checkpoint is stored as " +
                                    Excerpt(*model.quantization) +
                                    "; name the type to plan for with --weights");
}

absl::Status CheckDraft(const ModelConfig& model, const InferenceOptions& options) {
  if (options.draft == nullptr) return absl::OkStatus();
  if (model.attention.empty() || options.draft->attention.empty()) {
    return BadField("draft", Excerpt(options.draft->name),
                    "a model that keeps K and V, beside one that does");
  }
  PLIMSOLL_RETURN_IF_ERROR(Annotate(CheckStoredType(*options.draft), "draft"));
  return Annotate(CheckSplit(*options.draft, DraftSplitOf(options)), "draft");
}

}  // namespace

ParallelSplit SplitOf(const InferenceOptions& options) {
  return {.tensor = options.tensor_parallel,
          .pipeline = options.pipeline_parallel,
          .expert = options.expert_parallel};
}

ParallelSplit DraftSplitOf(const InferenceOptions& options) {
  return {.tensor = options.tensor_parallel};
}

absl::Status CheckPlanOptions(const ModelConfig& model, const InferenceOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckDevice(options));
  PLIMSOLL_RETURN_IF_ERROR(CheckLoad(options));
  PLIMSOLL_RETURN_IF_ERROR(CheckSplit(model, SplitOf(options)));
  PLIMSOLL_RETURN_IF_ERROR(CheckDraft(model, options));
  if (model.attention.empty() && model.recurrent.empty()) {
    return BadField("layers", model.layers, "one that keeps something of a sequence");
  }
  return options.weights ? absl::OkStatus() : CheckStoredType(model);
}

}  // namespace plimsoll
