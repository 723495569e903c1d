#include "engine/decoder/forward_pass.h"

#include <cmath>
#include <limits>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::max();

Narrowed NarrowedFor(const ModelConfig& model, const Ops& ops, const StepBuffers& buffers) {
  if (ops.device == Device::kCpu) return {};
  return {reinterpret_cast<std::byte*>(buffers.narrow), model.dtype};
}

}  // namespace

ForwardPass::ForwardPass(const ModelConfig& model, const DecoderWeights& weights, const Ops& ops,
                         const CacheLayout& layout, std::byte* pool, StepParts& parts)
    : model_(model),
      weights_(weights),
      ops_(ops),
      layout_(layout),
      pool_(pool),
      parts_(parts),
      narrowed_(NarrowedFor(model, ops, parts.buffers)) {}

absl::Status ForwardPass::Queue(int64_t rows, int64_t logit_rows, bool draw) {
  rows_ = rows;
  picked_ = logit_rows;
  PLIMSOLL_RETURN_IF_ERROR(Embed());
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    PLIMSOLL_RETURN_IF_ERROR(Attend(layer));
    PLIMSOLL_RETURN_IF_ERROR(FeedForward(layer));
  }
  PLIMSOLL_RETURN_IF_ERROR(ComputeLogits());
  return draw ? DrawTokens() : absl::OkStatus();
}

absl::Status ForwardPass::Embed() {
  return ops_.embed({.ids = parts_.inputs.OnDevice(parts_.inputs.ids()),
                     .rows = rows_,
                     .table = weights_.embedding,
                     .scale = weights_.embedding_scale,
                     .out = parts_.buffers.x,
                     .drawn = parts_.tokens.on_device()});
}

absl::Status ForwardPass::Attend(int64_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const AttentionSpec& spec = model_.attention[static_cast<size_t>(layer)];
  const StepBuffers& b = parts_.buffers;
  PLIMSOLL_RETURN_IF_ERROR(NormForProduct(b.x, rows_, weights.attention_norm, b.normed));
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.q, b.normed, false, b.q));
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.k, b.normed, false, b.k));
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.v, b.normed, false, b.v));
  PLIMSOLL_RETURN_IF_ERROR(NormHeads(weights.q_norm, spec.heads, b.q));
  PLIMSOLL_RETURN_IF_ERROR(NormHeads(weights.k_norm, spec.kv_heads, b.k));
  PLIMSOLL_RETURN_IF_ERROR(
      ops_.rotate_and_append({.q = b.q,
                              .k = b.k,
                              .v = b.v,
                              .rows = rows_,
                              .heads = spec.heads,
                              .rotated_dims = model_.rotary.rotated_dims,
                              .cos = b.cos,
                              .sin = b.sin,
                              .places = parts_.inputs.OnDevice(parts_.inputs.places()),
                              .cache = Cache(layer)}));
  AttentionWork work = parts_.plans.Of(layer);
  work.partial_sums = b.partial_sums;
  work.partial_weights = b.partial_weights;
  PLIMSOLL_RETURN_IF_ERROR(
      ops_.attention({.q = b.q,
                      .rows = rows_,
                      .heads = spec.heads,
                      .scale = static_cast<float>(model_.attention_scale.value_or(
                          1 / std::sqrt(static_cast<double>(spec.head_dim)))),
                      .window = spec.window ? spec.window->value() : kNoWindow,
                      .places = parts_.inputs.OnDevice(parts_.inputs.places()),
                      .cache = Cache(layer),
                      .out = b.attended,
                      .softcap = static_cast<float>(model_.attention_softcap.value_or(0)),
                      .narrowed = narrowed_,
                      .work = work}));
  return AddBranch(weights.o, b.attended, weights.attention_out_norm);
}

absl::Status ForwardPass::FeedForward(int64_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const StepBuffers& b = parts_.buffers;
  PLIMSOLL_RETURN_IF_ERROR(NormForProduct(b.x, rows_, weights.mlp_norm, b.normed));
  if (!weights.experts.empty()) return UseExperts(layer);
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.gate, b.normed, false, b.gate));
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.up, b.normed, false, b.up));
  PLIMSOLL_RETURN_IF_ERROR(ops_.gated_activation({.gate = b.gate,
                                                  .up = b.up,
                                                  .count = rows_ * weights.gate.weight.rows,
                                                  .activation = model_.activation,
                                                  .out = b.gate,
                                                  .narrowed = narrowed_}));
  return AddBranch(weights.down, b.gate, weights.mlp_out_norm);
}

absl::Status ForwardPass::UseExperts(int64_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const Mixture& mixture = *model_.mixture;
  const StepBuffers& b = parts_.buffers;
  const bool shared = weights.shared_router.weight.data != nullptr;
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.router, b.normed, false, b.router));
  if (shared) PLIMSOLL_RETURN_IF_ERROR(Project(weights.shared_router, b.normed, false, b.shared));
  PLIMSOLL_RETURN_IF_ERROR(ops_.route({.logits = b.router,
                                       .shared = shared ? b.shared : nullptr,
                                       .rows = rows_,
                                       .experts = mixture.experts,
                                       .active = mixture.active,
                                       .renormalise = mixture.renormalised,
                                       .chosen = b.chosen,
                                       .shares = b.shares}));
  return ops_.experts({.x = b.normed,
                       .chosen = b.chosen,
                       .shares = b.shares,
                       .rows = rows_,
                       .choices = ChoicesOf(mixture),
                       .experts = weights.experts.data(),
                       .count = std::ssize(weights.experts),
                       .activation = model_.activation,
                       .scratch = {.gathered = b.gathered,
                                   .gate = b.gate,
                                   .up = b.up,
                                   .mixed = b.mixed,
                                   .picked = b.routed},
                       .out = b.x,
                       .narrowed = narrowed_,
                       .table = parts_.experts.Of(layer)});
}

// Picking rows out of x is a look-up in a table, on every device, so embed does it.
absl::Status ForwardPass::ComputeLogits() {
  const StepBuffers& b = parts_.buffers;
  if (picked_ == 0) return absl::OkStatus();
  const WeightView rows_of_x{reinterpret_cast<const std::byte*>(b.x), ElementType::kFp32, rows_,
                             model_.hidden_size};
  PLIMSOLL_RETURN_IF_ERROR(ops_.embed({.ids = parts_.inputs.OnDevice(parts_.inputs.picked()),
                                       .rows = picked_,
                                       .table = rows_of_x,
                                       .scale = 1,
                                       .out = b.last}));
  PLIMSOLL_RETURN_IF_ERROR(NormForProduct(b.last, picked_, weights_.final_norm, b.last));
  PLIMSOLL_RETURN_IF_ERROR(ops_.linear({.x = b.last,
                                        .rows = picked_,
                                        .weight = weights_.head,
                                        .bias = {},
                                        .accumulate = false,
                                        .out = b.logits,
                                        .narrowed = narrowed_}));
  if (!model_.final_softcap) return absl::OkStatus();
  return ops_.softcap({.x = b.logits,
                       .count = picked_ * model_.vocab_size,
                       .cap = static_cast<float>(*model_.final_softcap)});
}

absl::Status ForwardPass::Norm(const float* x, int64_t rows, const WeightView& gain, float* out,
                               bool accumulate, const Narrowed& narrowed) {
  return ops_.rms_norm({.x = x,
                        .rows = rows,
                        .cols = gain.cols,
                        .gain = gain,
                        .gain_offset = static_cast<float>(model_.norm_offset),
                        .epsilon = static_cast<float>(model_.norm_epsilon),
                        .out = out,
                        .accumulate = accumulate,
                        .narrowed = narrowed});
}

absl::Status ForwardPass::NormHeads(const WeightView& gain, int64_t heads, float* x) {
  return gain.data == nullptr ? absl::OkStatus() : Norm(x, rows_ * heads, gain, x);
}

absl::Status ForwardPass::Project(const Projection& projection, const float* x, bool accumulate,
                                  float* out) {
  return ops_.linear({.x = x,
                      .rows = rows_,
                      .weight = projection.weight,
                      .bias = projection.bias,
                      .accumulate = accumulate,
                      .out = out,
                      .narrowed = narrowed_});
}

// The norm that the branch began with is no longer needed: its place takes what the branch ends in.
absl::Status ForwardPass::AddBranch(const Projection& projection, const float* x,
                                    const WeightView& norm) {
  const StepBuffers& b = parts_.buffers;
  if (norm.data == nullptr) return Project(projection, x, /*accumulate=*/true, b.x);
  PLIMSOLL_RETURN_IF_ERROR(Project(projection, x, /*accumulate=*/false, b.normed));
  return Norm(b.normed, rows_, norm, b.x, /*accumulate=*/true);
}

PagedLayer ForwardPass::Cache(int64_t layer) const {
  return {.pool = pool_,
          .type = layout_.type,
          .block_bytes = layout_.block_bytes.value(),
          .block_tokens = layout_.block_tokens.value(),
          .layer = layout_.layers[static_cast<size_t>(layer)]};
}

absl::Status ForwardPass::DrawTokens() {
  return ops_.sample({.logits = parts_.buffers.logits,
                      .rows = picked_,
                      .vocab = model_.vocab_size,
                      .draws = parts_.inputs.OnDevice(parts_.inputs.draws()),
                      .tokens = parts_.tokens.on_device()});
}

}  // namespace plimsoll
