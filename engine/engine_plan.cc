#include "engine/engine_plan.h"

#include <algorithm>
#include <limits>
#include <string>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"

namespace plimsoll {
namespace {

constexpr int64_t kMostBlocks = std::numeric_limits<int32_t>::max();

absl::Status CheckOptions(const EngineOptions& options) {
  if (options.loop.max_batched_tokens < Tokens(1)) {
    return BadField("max_batched_tokens", options.loop.max_batched_tokens.value(), "1 or more");
  }
  if (options.loop.max_sequences < 1) {
    return BadField("max_sequences", options.loop.max_sequences, "1 or more");
  }
  if (options.blocks && (*options.blocks < Blocks(1) || *options.blocks > Blocks(kMostBlocks))) {
    return BadField("blocks", options.blocks->value(), "1 to 2^31 - 1");
  }
  if (options.max_blocks.value_or(Blocks(1)) > Blocks(kMostBlocks)) {
    return BadField("max_blocks", options.max_blocks->value(), "at most 2^31 - 1");
  }
  if (!options.weights) return absl::OkStatus();
  const auto* const type = std::get_if<ElementType>(&*options.weights);
  if (type != nullptr && (*type == ElementType::kInt8 || *type == ElementType::kInt4)) {
    return absl::OkStatus();
  }
  return BadField("weights", NameOf(*options.weights), "int8 or int4, or nothing: as stored");
}

absl::Status CheckWeights(const ModelConfig& model, const EngineOptions& options) {
  if (!options.weights || !model.quantization) return absl::OkStatus();
  return BadField("weights", NameOf(*options.weights),
                  "nothing for a checkpoint that is quantised already: " + *model.quantization);
}

// A checkpoint that is quantised already is held in the engine's own layout of the same numbers.
InferenceOptions SizingOf(const ModelConfig& model, const EngineOptions& options) {
  InferenceOptions sizing{
      .device_bytes = kMaxBytes, .weights = options.weights, .kv = options.kv_type};
  if (const auto held = model.storage ? EngineStorageOf(*model.storage) : std::nullopt) {
    sizing.weights = *held;
  }
  sizing.attention_pieces = 0;  // the decoder's own count is in what is beyond the plan
  sizing.utilization = options.utilization;
  sizing.block_tokens = options.block_tokens;
  sizing.max_batched_tokens = options.loop.max_batched_tokens;
  sizing.max_sequences = options.loop.max_sequences;
  return sizing;
}

// Everything but the pool.
Bytes FixedBytes(const InferencePlan& plan) {
  return plan.weights_bytes + plan.draft_bytes + plan.io_bytes + plan.activation_bytes +
         plan.runtime_bytes + plan.margin_bytes;
}

// What the decoder takes beyond the plan's input, output, logits and activations. `blocks` is
// at least the number the pool will have, which bounds the positions of the rotary table.
Bytes BeyondPlan(const ModelConfig& model, const DeviceBackend& device,
                 const EngineOptions& options, const InferencePlan& plan, Blocks blocks) {
  const Blocks counted = std::min(blocks, Blocks(kMostBlocks));
  const Tokens positions = std::min(model.max_context, counted.value() * plan.block_tokens);
  const Bytes decoder = Decoder::BufferBytesFor(model, device, DecoderOptionsFor(options.loop),
                                                positions, plan.block_tokens);
  const Bytes planned = plan.io_bytes + plan.activation_bytes;
  const Bytes beyond = decoder > planned ? decoder - planned : Bytes(0);
  return beyond + Decoder::GraphBytesFor(model, device, DecoderOptionsFor(options.loop));
}

absl::Status TooSmall(const ModelConfig& model, const InferencePlan& plan) {
  return absl::ResourceExhaustedError(
      model.name + " does not fit " + FormatSize(plan.device_bytes) + ": " +
      FormatSize(FixedBytes(plan) + plan.block_bytes) + " for weights, buffers and one block, " +
      FormatSize(plan.shortfall_bytes) + " short; see plimsoll plan");
}

absl::Status CheckFree(const ModelConfig& model, const InferencePlan& plan, Bytes free) {
  const Bytes needed = FixedBytes(plan) + plan.kv_pool_bytes;
  if (plan.blocks > Blocks(kMostBlocks)) {
    return BadField("memory", FormatSize(plan.device_bytes), "room for at most 2^31 - 1 blocks");
  }
  if (needed <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(model.name + " and its pool need " + FormatSize(needed) +
                                      ", " + FormatSize(free) +
                                      " are free; give less --memory or fewer --blocks");
}

}  // namespace

Decoder::Options DecoderOptionsFor(const LoopOptions& loop) {
  return {.max_batched_tokens = loop.max_batched_tokens,
          .max_logit_rows = loop.max_sequences,
          .max_graph_rows = loop.max_sequences};
}

absl::StatusOr<InferencePlan> PlanEngine(const ModelConfig& model, const DeviceBackend& device,
                                         const EngineOptions& options, Bytes free) {
  PLIMSOLL_RETURN_IF_ERROR(CheckOptions(options));
  PLIMSOLL_RETURN_IF_ERROR(CheckWeights(model, options));
  InferenceOptions sizing = SizingOf(model, options);
  if (!options.blocks) sizing.device_bytes = options.memory.value_or(free);
  absl::StatusOr<InferencePlan> plan = PlanInference(model, sizing);
  if (!plan.ok()) return plan.status();
  const Blocks start = options.blocks.value_or(plan->blocks);
  const Blocks most = std::max(start, options.max_blocks.value_or(start));
  sizing.runtime = BeyondPlan(model, device, options, *plan, most);
  sizing.runtime_formula = "fp32 buffers, rotary table and graphs beyond the terms above";
  plan = PlanInference(model, sizing);
  if (!plan.ok()) return plan.status();
  if (options.blocks) {  // a device that holds just these
    sizing.utilization = 1;
    sizing.device_bytes = FixedBytes(*plan) + options.blocks->value() * plan->block_bytes;
    plan = PlanInference(model, sizing);
    if (!plan.ok()) return plan.status();
  }
  if (!plan->fits()) return TooSmall(model, *plan);
  if (options.max_blocks.value_or(plan->blocks) < plan->blocks) {
    return BadField("max_blocks", options.max_blocks->value(),
                    "at least the pool's " + std::to_string(plan->blocks.value()));
  }
  PLIMSOLL_RETURN_IF_ERROR(CheckFree(model, *plan, free));
  return plan;
}

}  // namespace plimsoll
