#include "engine/decoder/decoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/decoder/layer_weights.h"
#include "engine/decoder/rotary.h"
#include "engine/decoder/step_buffers.h"
#include "engine/weights/weights.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::max();

// Operations read block tables as plain indices. A BlockId is one and nothing else, so a table of
// them is read in place.
static_assert(sizeof(BlockId) == sizeof(int32_t) && std::is_standard_layout_v<BlockId>);
const int32_t* IndicesOf(std::span<const BlockId> table) {
  return reinterpret_cast<const int32_t*>(table.data());
}

class LlamaDecoder final : public Decoder {
 public:
  LlamaDecoder(const ModelConfig& model, DecoderWeights weights, const Ops& ops,
               const CacheLayout& layout, std::byte* pool, Tokens positions, const Options& options,
               StepBuffers buffers)
      : model_(model),
        weights_(std::move(weights)),
        ops_(ops),
        layout_(layout),
        pool_(pool),
        positions_(positions),
        options_(options),
        buffers_(std::move(buffers)),
        rotary_(RotaryTableFor(model.rotary, positions)),
        places_(static_cast<size_t>(options.max_batched_tokens.value())) {}

  absl::StatusOr<std::span<const float>> Forward(std::span<const BatchEntry> batch) override;

  const ModelConfig& model() const override { return model_; }
  const Options& options() const override { return options_; }
  Bytes buffer_bytes() const override {
    const size_t rotary = rotary_.cos.capacity() + rotary_.sin.capacity();
    return buffers_.slab.bytes() + BytesOf(ElementType::kFp32, static_cast<int64_t>(rotary));
  }

 private:
  // Lays the batch out as rows: ids, places and the rows whose logits are asked for.
  void PlaceRows(std::span<const BatchEntry> batch);
  void PickLogits(const BatchEntry& entry, int64_t first_row);
  absl::Status Embed();
  absl::Status Attend(int64_t layer);
  absl::Status FeedForward(int64_t layer);
  absl::Status ComputeLogits();

  absl::Status Norm(const float* x, int64_t rows, const WeightView& gain, float* out);
  absl::Status NormHeads(const WeightView& gain, int64_t heads, float* x);
  absl::Status Project(const Projection& projection, const float* x, bool accumulate, float* out);
  PagedLayer Cache(int64_t layer) const;

  const ModelConfig model_;
  const DecoderWeights weights_;
  const Ops& ops_;
  const CacheLayout layout_;
  std::byte* const pool_;
  const Tokens positions_;  // a row's position is less
  const Options options_;
  StepBuffers buffers_;
  const RotaryTable rotary_;
  std::vector<RowPlace> places_;
  int64_t rows_ = 0;    // of this pass
  int64_t picked_ = 0;  // of them, those with logits
};

absl::StatusOr<std::span<const float>> LlamaDecoder::Forward(std::span<const BatchEntry> batch) {
  PlaceRows(batch);
  PLIMSOLL_RETURN_IF_ERROR(Embed());
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    PLIMSOLL_RETURN_IF_ERROR(Attend(layer));
    PLIMSOLL_RETURN_IF_ERROR(FeedForward(layer));
  }
  PLIMSOLL_RETURN_IF_ERROR(ComputeLogits());
  return std::span<const float>(buffers_.logits, static_cast<size_t>(picked_ * model_.vocab_size));
}

void LlamaDecoder::PlaceRows(std::span<const BatchEntry> batch) {
  rows_ = 0;
  picked_ = 0;
  for (const BatchEntry& entry : batch) {
    const int64_t count = std::ssize(entry.tokens);
    const int64_t end = entry.first_position + count;
    PLIMSOLL_CHECK(count > 0 && entry.first_position >= 0, count, entry.first_position);
    PLIMSOLL_CHECK(end <= positions_.value(), end, positions_);
    PLIMSOLL_CHECK(std::ssize(entry.table) * layout_.block_tokens.value() >= end, end);
    PLIMSOLL_CHECK(rows_ + count <= options_.max_batched_tokens.value(), rows_, count);
    PickLogits(entry, rows_);
    for (int64_t i = 0; i < count; ++i, ++rows_) {
      buffers_.ids[rows_] = entry.tokens[static_cast<size_t>(i)];
      places_[static_cast<size_t>(rows_)] = {entry.first_position + i, IndicesOf(entry.table)};
    }
  }
}

void LlamaDecoder::PickLogits(const BatchEntry& entry, int64_t first_row) {
  if (!entry.want_logits) return;
  const int64_t end = first_row + std::ssize(entry.tokens);
  for (int64_t row = entry.all_logits ? first_row : end - 1; row < end; ++row) {
    PLIMSOLL_CHECK(picked_ < options_.max_logit_rows, picked_);
    buffers_.picked[picked_++] = static_cast<int32_t>(row);
  }
}

absl::Status LlamaDecoder::Embed() {
  return ops_.embed({.ids = buffers_.ids,
                     .rows = rows_,
                     .table = weights_.embedding,
                     .scale = 1,
                     .out = buffers_.x});
}

absl::Status LlamaDecoder::Attend(int64_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const AttentionSpec& spec = model_.attention[static_cast<size_t>(layer)];
  StepBuffers& b = buffers_;
  PLIMSOLL_RETURN_IF_ERROR(Norm(b.x, rows_, weights.attention_norm, b.normed));
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
                                                   .cos = rotary_.cos.data(),
                                                   .sin = rotary_.sin.data(),
                                                   .places = places_.data(),
                                                   .cache = Cache(layer)}));
  PLIMSOLL_RETURN_IF_ERROR(
      ops_.attention({.q = b.q,
                      .rows = rows_,
                      .heads = spec.heads,
                      .scale = 1 / std::sqrt(static_cast<float>(spec.head_dim)),
                      .window = spec.window ? spec.window->value() : kNoWindow,
                      .places = places_.data(),
                      .cache = Cache(layer),
                      .out = b.attended}));
  return Project(weights.o, b.attended, /*accumulate=*/true, b.x);
}

absl::Status LlamaDecoder::FeedForward(int64_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  StepBuffers& b = buffers_;
  PLIMSOLL_RETURN_IF_ERROR(Norm(b.x, rows_, weights.mlp_norm, b.normed));
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.gate, b.normed, false, b.gate));
  PLIMSOLL_RETURN_IF_ERROR(Project(weights.up, b.normed, false, b.up));
  PLIMSOLL_RETURN_IF_ERROR(ops_.gated_activation({.gate = b.gate,
                                                  .up = b.up,
                                                  .count = rows_ * weights.gate.weight.rows,
                                                  .activation = model_.activation,
                                                  .out = b.gate}));
  return Project(weights.down, b.gate, /*accumulate=*/true, b.x);
}

// Picking rows out of x is a look-up in a table, on every device, so embed does it.
absl::Status LlamaDecoder::ComputeLogits() {
  StepBuffers& b = buffers_;
  if (picked_ == 0) return absl::OkStatus();
  const WeightView rows_of_x{reinterpret_cast<const std::byte*>(b.x), ElementType::kFp32, rows_,
                             model_.hidden_size};
  PLIMSOLL_RETURN_IF_ERROR(ops_.embed(
      {.ids = b.picked, .rows = picked_, .table = rows_of_x, .scale = 1, .out = b.last}));
  PLIMSOLL_RETURN_IF_ERROR(Norm(b.last, picked_, weights_.final_norm, b.last));
  return ops_.linear({.x = b.last,
                      .rows = picked_,
                      .weight = weights_.head,
                      .bias = {},
                      .accumulate = false,
                      .out = b.logits});
}

absl::Status LlamaDecoder::Norm(const float* x, int64_t rows, const WeightView& gain, float* out) {
  return ops_.rms_norm({.x = x,
                        .rows = rows,
                        .cols = gain.cols,
                        .gain = gain,
                        .gain_offset = 0,
                        .epsilon = static_cast<float>(model_.norm_epsilon),
                        .out = out});
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
                      .out = out});
}

PagedLayer LlamaDecoder::Cache(int64_t layer) const {
  return {.pool = pool_,
          .type = layout_.type,
          .block_bytes = layout_.block_bytes.value(),
          .block_tokens = layout_.block_tokens.value(),
          .layer = layout_.layers[static_cast<size_t>(layer)]};
}

}  // namespace

Bytes Decoder::BufferBytesFor(const ModelConfig& model, const Options& options, Tokens positions) {
  return StepBufferBytes(model, options.max_batched_tokens.value(), options.max_logit_rows) +
         RotaryTableBytes(model.rotary, positions);
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(const ModelConfig& model,
                                                         const Weights& weights, const Ops& ops,
                                                         const CacheLayout& layout, Arena& arena,
                                                         const Options& options) {
  PLIMSOLL_CHECK(std::ssize(layout.layers) == model.layers, layout.layers.size(), model.layers);
  PLIMSOLL_CHECK(options.max_batched_tokens > Tokens(0) && options.max_logit_rows > 0);
  absl::StatusOr<DecoderWeights> found = DecoderWeightsOf(model, weights);
  if (!found.ok()) return found.status();
  absl::StatusOr<StepBuffers> buffers =
      StepBuffersFor(model, options.max_batched_tokens.value(), options.max_logit_rows);
  if (!buffers.ok()) return buffers.status();
  const Blocks blocks = BlocksFittingIn(arena.chunks() * arena.chunk_bytes(), layout.block_bytes);
  const Tokens positions =
      std::min(model.max_context, blocks.value() * layout.block_tokens);  // more has no room
  return std::make_unique<LlamaDecoder>(model, *std::move(found), ops, layout, arena.base(),
                                        positions, options, *std::move(buffers));
}

}  // namespace plimsoll
