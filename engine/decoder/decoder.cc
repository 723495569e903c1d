#include "engine/decoder/decoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/decoder/attention_plans.h"
#include "engine/decoder/cuda_limits.h"
#include "engine/decoder/expert_tables.h"
#include "engine/decoder/layer_weights.h"
#include "engine/decoder/rotary.h"
#include "engine/decoder/step_buffers.h"
#include "engine/decoder/step_inputs.h"
#include "engine/weights/weights.h"
#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::max();

Narrowed NarrowedFor(const ModelConfig& model, const Ops& ops, const StepBuffers& buffers) {
  if (ops.device == Device::kCpu) return {};
  return {reinterpret_cast<std::byte*>(buffers.narrow), model.dtype};
}

// What a decoder keeps for its passes, and how much of the device it takes.
struct StepParts {
  AttentionPlans plans;
  StepInputs inputs;
  StepBuffers buffers;
  ExpertTables experts;
};

class LlamaDecoder final : public Decoder {
 public:
  LlamaDecoder(const ModelConfig& model, DecoderWeights weights, const Compute& compute,
               const CacheLayout& layout, std::byte* pool, Tokens positions, const Options& options,
               StepParts parts)
      : model_(model),
        weights_(std::move(weights)),
        device_(compute.device),
        ops_(compute.ops),
        layout_(layout),
        pool_(pool),
        positions_(positions),
        options_(options),
        plans_(std::move(parts.plans)),
        inputs_(std::move(parts.inputs)),
        buffers_(std::move(parts.buffers)),
        experts_(std::move(parts.experts)),
        narrowed_(NarrowedFor(model, ops_, buffers_)),
        logits_(ops_.device == Device::kCpu ? 0 : LogitCount()) {}

  absl::StatusOr<std::span<const float>> Forward(std::span<const BatchEntry> batch) override;

  const ModelConfig& model() const override { return model_; }
  const Options& options() const override { return options_; }
  Bytes buffer_bytes() const override {
    return buffers_.slab.bytes() + inputs_.bytes() + experts_.bytes();
  }

 private:
  // Lays the batch out as rows: ids, places and the rows whose logits are asked for.
  void PlaceRows(std::span<const BatchEntry> batch);
  void PickLogits(const BatchEntry& entry, int64_t first_row);
  absl::Status Embed();
  absl::Status Attend(int64_t layer);
  absl::Status FeedForward(int64_t layer);
  absl::Status UseExperts(int64_t layer);
  absl::Status ComputeLogits();
  absl::StatusOr<std::span<const float>> HostLogits();

  size_t LogitCount() const {
    return static_cast<size_t>(options_.max_logit_rows * model_.vocab_size);
  }

  // What a product reads next: `narrowed_` where products read 16 bits.
  absl::Status NormForProduct(const float* x, int64_t rows, const WeightView& gain, float* out) {
    return Norm(x, rows, gain, out, /*accumulate=*/false, narrowed_);
  }
  absl::Status Norm(const float* x, int64_t rows, const WeightView& gain, float* out,
                    bool accumulate = false, const Narrowed& narrowed = {});
  absl::Status NormHeads(const WeightView& gain, int64_t heads, float* x);
  absl::Status Project(const Projection& projection, const float* x, bool accumulate, float* out);
  // Adds the projection to the residual stream, through a norm where there is one behind it.
  absl::Status AddBranch(const Projection& projection, const float* x, const WeightView& norm);
  PagedLayer Cache(int64_t layer) const;

  const ModelConfig model_;
  const DecoderWeights weights_;
  const DeviceBackend& device_;
  const Ops& ops_;
  const CacheLayout layout_;
  std::byte* const pool_;
  const Tokens positions_;  // a row's position is less
  const Options options_;
  AttentionPlans plans_;
  StepInputs inputs_;
  StepBuffers buffers_;
  const ExpertTables experts_;
  const Narrowed narrowed_;
  std::vector<float> logits_;  // a copy of the device's, unless they can be read there
  int64_t rows_ = 0;           // of this pass
  int64_t picked_ = 0;         // of them, those with logits
};

absl::StatusOr<std::span<const float>> LlamaDecoder::Forward(std::span<const BatchEntry> batch) {
  PlaceRows(batch);
  plans_.Plan({inputs_.places(), static_cast<size_t>(rows_)}, inputs_);
  PLIMSOLL_RETURN_IF_ERROR(inputs_.Upload());
  PLIMSOLL_RETURN_IF_ERROR(Embed());
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    PLIMSOLL_RETURN_IF_ERROR(Attend(layer));
    PLIMSOLL_RETURN_IF_ERROR(FeedForward(layer));
  }
  PLIMSOLL_RETURN_IF_ERROR(ComputeLogits());
  return HostLogits();
}

absl::StatusOr<std::span<const float>> LlamaDecoder::HostLogits() {
  const int64_t count = picked_ * model_.vocab_size;
  if (ops_.device == Device::kCpu) return std::span(buffers_.logits, static_cast<size_t>(count));
  PLIMSOLL_RETURN_IF_ERROR(device_.CopyToHost(reinterpret_cast<std::byte*>(logits_.data()),
                                              reinterpret_cast<const std::byte*>(buffers_.logits),
                                              BytesOf(ElementType::kFp32, count)));
  return std::span(logits_).first(static_cast<size_t>(count));
}

void LlamaDecoder::PlaceRows(std::span<const BatchEntry> batch) {
  rows_ = 0;
  picked_ = 0;
  inputs_.Clear();
  for (const BatchEntry& entry : batch) {
    const int64_t count = std::ssize(entry.tokens);
    const int64_t end = entry.first_position + count;
    PLIMSOLL_CHECK(count > 0 && entry.first_position >= 0, count, entry.first_position);
    PLIMSOLL_CHECK(end <= positions_.value(), end, positions_);
    PLIMSOLL_CHECK(std::ssize(entry.table) * layout_.block_tokens.value() >= end, end);
    PLIMSOLL_CHECK(rows_ + count <= options_.max_batched_tokens.value(), rows_, count);
    PickLogits(entry, rows_);
    const int32_t* const table =
        inputs_.AddTable(entry.table, CeilDivide(end, layout_.block_tokens.value()));
    for (int64_t i = 0; i < count; ++i, ++rows_) {
      inputs_.ids()[rows_] = entry.tokens[static_cast<size_t>(i)];
      inputs_.places()[rows_] = {entry.first_position + i, table};
    }
  }
}

void LlamaDecoder::PickLogits(const BatchEntry& entry, int64_t first_row) {
  if (!entry.want_logits) return;
  const int64_t end = first_row + std::ssize(entry.tokens);
  for (int64_t row = entry.all_logits ? first_row : end - 1; row < end; ++row) {
    PLIMSOLL_CHECK(picked_ < options_.max_logit_rows, picked_);
    inputs_.picked()[picked_++] = static_cast<int32_t>(row);
  }
}

absl::Status LlamaDecoder::Embed() {
  return ops_.embed({.ids = inputs_.OnDevice(inputs_.ids()),
                     .rows = rows_,
                     .table = weights_.embedding,
                     .scale = weights_.embedding_scale,
                     .out = buffers_.x});
}

absl::Status LlamaDecoder::Attend(int64_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const AttentionSpec& spec = model_.attention[static_cast<size_t>(layer)];
  StepBuffers& b = buffers_;
  PLIMSOLL_RETURN_IF_ERROR(NormForProduct(b.x, rows_, weights.attention_norm, b.normed));
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.q, b.normed, false, b.q));
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.k, b.normed, false, b.k));
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.v, b.normed, false, b.v));
  PLIMSOLL_RETURN_IF_ERROR(NormHeads(weights.q_norm, spec.heads, b.q));
  PLIMSOLL_RETURN_IF_ERROR(NormHeads(weights.k_norm, spec.kv_heads, b.k));
  PLIMSOLL_RETURN_IF_ERROR(ops_.rotate_and_append({.q = b.q,
                                                   .k = b.k,
                                                   .v = b.v,
                                                   .rows = rows_,
                                                   .heads = spec.heads,
                                                   .rotated_dims = model_.rotary.rotated_dims,
                                                   .cos = b.cos,
                                                   .sin = b.sin,
                                                   .places = inputs_.OnDevice(inputs_.places()),
                                                   .cache = Cache(layer)}));
  AttentionWork work = plans_.Of(layer);
  work.partial_sums = b.partial_sums;
  work.partial_weights = b.partial_weights;
  PLIMSOLL_RETURN_IF_ERROR(
      ops_.attention({.q = b.q,
                      .rows = rows_,
                      .heads = spec.heads,
                      .scale = static_cast<float>(model_.attention_scale.value_or(
                          1 / std::sqrt(static_cast<double>(spec.head_dim)))),
                      .window = spec.window ? spec.window->value() : kNoWindow,
                      .places = inputs_.OnDevice(inputs_.places()),
                      .cache = Cache(layer),
                      .out = b.attended,
                      .softcap = static_cast<float>(model_.attention_softcap.value_or(0)),
                      .narrowed = narrowed_,
                      .work = work}));
  return AddBranch(weights.o, b.attended, weights.attention_out_norm);
}

absl::Status LlamaDecoder::FeedForward(int64_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  StepBuffers& b = buffers_;
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

absl::Status LlamaDecoder::UseExperts(int64_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const Mixture& mixture = *model_.mixture;
  StepBuffers& b = buffers_;
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
                       .table = experts_.Of(layer)});
}

// Picking rows out of x is a look-up in a table, on every device, so embed does it.
absl::Status LlamaDecoder::ComputeLogits() {
  StepBuffers& b = buffers_;
  if (picked_ == 0) return absl::OkStatus();
  const WeightView rows_of_x{reinterpret_cast<const std::byte*>(b.x), ElementType::kFp32, rows_,
                             model_.hidden_size};
  PLIMSOLL_RETURN_IF_ERROR(ops_.embed({.ids = inputs_.OnDevice(inputs_.picked()),
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

absl::Status LlamaDecoder::Norm(const float* x, int64_t rows, const WeightView& gain, float* out,
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

absl::Status LlamaDecoder::NormHeads(const WeightView& gain, int64_t heads, float* x) {
  return gain.data == nullptr ? absl::OkStatus() : Norm(x, rows_ * heads, gain, x);
}

absl::Status LlamaDecoder::Project(const Projection& projection, const float* x, bool accumulate,
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
absl::Status LlamaDecoder::AddBranch(const Projection& projection, const float* x,
                                     const WeightView& norm) {
  StepBuffers& b = buffers_;
  if (norm.data == nullptr) return Project(projection, x, /*accumulate=*/true, b.x);
  PLIMSOLL_RETURN_IF_ERROR(Project(projection, x, /*accumulate=*/false, b.normed));
  return Norm(b.normed, rows_, norm, b.x, /*accumulate=*/true);
}

PagedLayer LlamaDecoder::Cache(int64_t layer) const {
  return {.pool = pool_,
          .type = layout_.type,
          .block_bytes = layout_.block_bytes.value(),
          .block_tokens = layout_.block_tokens.value(),
          .layer = layout_.layers[static_cast<size_t>(layer)]};
}

StepInputs::Shape InputsShapeOf(const Decoder::Options& options, const AttentionPlans& plans,
                                Tokens positions, Tokens block_tokens) {
  const int64_t rows = options.max_batched_tokens.value();
  return {.rows = rows,
          .logit_rows = options.max_logit_rows,
          .sequences = std::min(rows, options.max_logit_rows),
          .table_blocks = CeilDivide(positions.value(), block_tokens.value()),
          .items = plans.most_items(),
          .splits = plans.most_splits()};
}

StepShape BuffersShapeOf(const Decoder::Options& options, const AttentionPlans& plans,
                         Tokens positions, const DeviceBackend& device) {
  return {.rows = options.max_batched_tokens.value(),
          .logit_rows = options.max_logit_rows,
          .positions = positions.value(),
          .narrows = device.ops().device == Device::kCuda,
          .partial_sums = plans.partial_sums(),
          .partial_weights = plans.partial_weights()};
}

absl::Status UploadRotary(const ModelConfig& model, Tokens positions, const StepBuffers& buffers,
                          const DeviceBackend& device) {
  const RotaryTable table = RotaryTableFor(model.rotary, positions);
  const auto upload = [&](const std::vector<float>& from, float* to) {
    return device.CopyToDevice(reinterpret_cast<std::byte*>(to),
                               reinterpret_cast<const std::byte*>(from.data()),
                               BytesOf(ElementType::kFp32, std::ssize(from)));
  };
  PLIMSOLL_RETURN_IF_ERROR(upload(table.cos, buffers.cos));
  return upload(table.sin, buffers.sin);
}

absl::StatusOr<StepParts> StepPartsFor(const ModelConfig& model, const DecoderWeights& weights,
                                       const Decoder::Options& options, Tokens positions,
                                       Tokens block_tokens, const DeviceBackend& device) {
  AttentionPlans plans(model, device, options.max_batched_tokens.value());
  absl::StatusOr<StepInputs> inputs =
      StepInputs::Create(device, InputsShapeOf(options, plans, positions, block_tokens));
  if (!inputs.ok()) return inputs.status();
  absl::StatusOr<StepBuffers> buffers =
      StepBuffersFor(model, BuffersShapeOf(options, plans, positions, device), device);
  if (!buffers.ok()) return buffers.status();
  PLIMSOLL_RETURN_IF_ERROR(UploadRotary(model, positions, *buffers, device));
  absl::StatusOr<ExpertTables> experts = ExpertTables::Create(model, weights.layers, device);
  if (!experts.ok()) return experts.status();
  return StepParts{std::move(plans), *std::move(inputs), *std::move(buffers), *std::move(experts)};
}

}  // namespace

Bytes Decoder::BufferBytesFor(const ModelConfig& model, const DeviceBackend& device,
                              const Options& options, Tokens positions, Tokens block_tokens) {
  const AttentionPlans plans(model, device, options.max_batched_tokens.value());
  return StepInputs::BytesFor(InputsShapeOf(options, plans, positions, block_tokens)) +
         StepBufferBytes(model, BuffersShapeOf(options, plans, positions, device)) +
         ExpertTables::BytesFor(model, device);
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(const ModelConfig& model,
                                                         const Weights& weights,
                                                         const Compute& compute,
                                                         const CacheLayout& layout, Arena& arena,
                                                         const Options& options) {
  PLIMSOLL_CHECK(std::ssize(layout.layers) == model.layers, layout.layers.size(), model.layers);
  PLIMSOLL_CHECK(options.max_batched_tokens > Tokens(0) && options.max_logit_rows > 0);
  PLIMSOLL_RETURN_IF_ERROR(CheckOps(compute.ops, model));
  PLIMSOLL_RETURN_IF_ERROR(CheckCudaLimits(model, layout, compute.device));
  absl::StatusOr<DecoderWeights> found = DecoderWeightsOf(model, weights);
  if (!found.ok()) return found.status();
  const Blocks blocks = BlocksFittingIn(arena.chunks() * arena.chunk_bytes(), layout.block_bytes);
  const Tokens positions =
      std::min(model.max_context, blocks.value() * layout.block_tokens);  // more has no room
  absl::StatusOr<StepParts> parts =
      StepPartsFor(model, *found, options, positions, layout.block_tokens, compute.device);
  if (!parts.ok()) return parts.status();
  return std::make_unique<LlamaDecoder>(model, *std::move(found), compute, layout, arena.base(),
                                        positions, options, *std::move(parts));
}

}  // namespace plimsoll
