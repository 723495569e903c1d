#include "engine/decoder/decoder.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "engine/decoder/cuda_limits.h"
#include "engine/decoder/forward_pass.h"
#include "engine/decoder/layer_weights.h"
#include "engine/decoder/step_graphs.h"
#include "engine/decoder/step_parts.h"
#include "engine/weights/weights.h"
#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

int64_t LogitRowsOf(const BatchEntry& entry) {
  if (!entry.want_logits) return 0;
  return entry.all_logits ? std::ssize(entry.tokens) : 1;
}

struct RowCounts {
  int64_t rows = 0;
  int64_t logit_rows = 0;
};

RowCounts CountRows(std::span<const BatchEntry> batch) {
  RowCounts counts;
  for (const BatchEntry& entry : batch) {
    counts.rows += std::ssize(entry.tokens);
    counts.logit_rows += LogitRowsOf(entry);
  }
  return counts;
}

class LlamaDecoder final : public Decoder {
 public:
  LlamaDecoder(const ModelConfig& model, DecoderWeights weights, const Compute& compute,
               const CacheLayout& layout, std::byte* pool, const StepExtent& extent,
               StepParts parts)
      : model_(model),
        weights_(std::move(weights)),
        device_(compute.device),
        ops_(compute.ops),
        on_cpu_(ops_.device == Device::kCpu),
        layout_(layout),
        block_shift_(std::countr_zero(static_cast<uint64_t>(layout.block_tokens.value()))),
        extent_(extent),
        parts_(std::move(parts)),
        pass_(model_, weights_, ops_, layout_, pool, parts_),
        logits_(on_cpu_ ? 0 : static_cast<size_t>(options().max_logit_rows * model_.vocab_size)) {
    drawn_.reserve(static_cast<size_t>(options().max_logit_rows));
  }

  absl::Status CaptureGraphs();
  absl::StatusOr<std::span<const float>> Forward(std::span<const BatchEntry> batch) override;
  absl::StatusOr<Drawn> ForwardAndDraw(std::span<const BatchEntry> batch) override;

  const ModelConfig& model() const override { return model_; }
  const Options& options() const override { return extent_.options; }
  Bytes buffer_bytes() const override { return parts_.bytes(); }
  Bytes graph_bytes() const override { return graphs_.bytes(); }

 private:
  absl::Status Run(std::span<const BatchEntry> batch, bool draw);
  // The bucket of graphs that holds this pass; 0: none, it is queued operation by operation.
  int64_t BucketOf(std::span<const BatchEntry> batch, const RowCounts& counts) const;
  // Lays the batch out as rows, and with a bucket fills it up with rows of nobody.
  void LayOut(std::span<const BatchEntry> batch, const RowCounts& counts, int64_t bucket);
  // Where rows and rows of logits are written, on the host.
  struct Places {
    int32_t* ids;
    RowPlace* rows;
    int32_t* picked;
    Draw* draws;
  };
  void Place(const BatchEntry& entry, const Places& places);
  void PickLogits(const BatchEntry& entry, const Places& places);
  void FillUp(int64_t bucket, const Places& places);
  int32_t IdOf(const BatchEntry& entry, int64_t i) const;
  // Rows of logits [first, first + count), where the host can read them.
  absl::Status FetchLogits(int64_t first, int64_t count);
  std::span<const float> HostLogits() const;

  const ModelConfig model_;
  const DecoderWeights weights_;
  const DeviceBackend& device_;
  const Ops& ops_;
  const bool on_cpu_;
  const CacheLayout layout_;
  const int block_shift_;  // log2 of block_tokens
  const StepExtent extent_;
  StepParts parts_;
  ForwardPass pass_;
  StepGraphs graphs_;
  std::vector<float> logits_;  // a copy of the device's, unless they can be read there
  std::vector<DrawnToken> drawn_;
  int64_t passes_ = 0;  // so far
  int64_t rows_ = 0;    // of this pass
  int64_t picked_ = 0;  // of them, those with logits
};

int64_t MostGraphRows(const Decoder::Options& options, const Ops& ops) {
  if (ops.device == Device::kCpu) return 0;
  return std::min(
      {options.max_graph_rows, options.max_logit_rows, options.max_batched_tokens.value()});
}

// For any pool that the arena will hold: rows of nobody read and write no blocks.
absl::Status LlamaDecoder::CaptureGraphs() {
  const auto prepare = [this](int64_t rows) {
    LayOut({}, {rows, rows}, rows);
    return parts_.inputs.Upload();
  };
  const auto queue = [this](int64_t rows) { return pass_.Queue(rows, rows, /*draw=*/true); };
  return graphs_.Capture(device_, MostGraphRows(options(), ops_), prepare, queue);
}

absl::Status LlamaDecoder::Run(std::span<const BatchEntry> batch, bool draw) {
  const RowCounts counts = CountRows(batch);
  PLIMSOLL_CHECK(counts.rows <= options().max_batched_tokens.value(), counts.rows);
  PLIMSOLL_CHECK(counts.logit_rows <= options().max_logit_rows, counts.logit_rows);
  const int64_t bucket = BucketOf(batch, counts);
  LayOut(batch, counts, bucket);
  ++passes_;
  PLIMSOLL_RETURN_IF_ERROR(parts_.inputs.Upload());
  if (bucket > 0) return graphs_.Launch(device_, bucket);
  return pass_.Queue(counts.rows, counts.logit_rows, draw);
}

int64_t LlamaDecoder::BucketOf(std::span<const BatchEntry> batch, const RowCounts& counts) const {
  const auto decodes = [](const BatchEntry& entry) {
    return entry.tokens.size() == 1 && entry.want_logits;
  };
  return std::all_of(batch.begin(), batch.end(), decodes) ? graphs_.BucketOf(counts.rows) : 0;
}

void LlamaDecoder::LayOut(std::span<const BatchEntry> batch, const RowCounts& counts,
                          int64_t bucket) {
  const int64_t room = std::max(counts.rows, bucket);
  parts_.inputs.Begin({.rows = room,
                       .logit_rows = std::max(counts.logit_rows, bucket),
                       .items = parts_.plans.MostItems(room, /*with_chunks=*/bucket == 0),
                       .splits = parts_.plans.MostSplits(room)});
  rows_ = 0;
  picked_ = 0;
  StepInputs& inputs = parts_.inputs;
  const Places places = {inputs.ids(), inputs.places(), inputs.picked(), inputs.draws()};
  for (const BatchEntry& entry : batch) Place(entry, places);
  const std::span rows(places.rows, static_cast<size_t>(rows_));
  parts_.plans.Plan(rows, room, /*fill=*/bucket > 0, inputs);
  FillUp(bucket, places);
}

void LlamaDecoder::Place(const BatchEntry& entry, const Places& places) {
  const int64_t count = std::ssize(entry.tokens);
  const int64_t end = entry.first_position + count;
  PLIMSOLL_CHECK(count > 0 && entry.first_position >= 0, count, entry.first_position);
  PLIMSOLL_CHECK(end <= extent_.positions.value(), end, extent_.positions);
  PLIMSOLL_CHECK(std::ssize(entry.table) << block_shift_ >= end, end);
  PickLogits(entry, places);
  const int64_t blocks = ((end - 1) >> block_shift_) + 1;
  const int32_t* const table = parts_.inputs.AddTable(entry.table, blocks);
  for (int64_t i = 0; i < count; ++i, ++rows_) {
    places.ids[rows_] = IdOf(entry, i);
    places.rows[rows_] = {entry.first_position + i, table};
  }
}

// What the pass before this one drew is still on the device.
int32_t LlamaDecoder::IdOf(const BatchEntry& entry, int64_t i) const {
  const DrawnToken& drawn = entry.drawn;
  if (drawn.pass == passes_ && entry.tokens.size() == 1) return -1 - drawn.row;
  return entry.tokens[static_cast<size_t>(i)];
}

// Of an entry that is about to be placed.
void LlamaDecoder::PickLogits(const BatchEntry& entry, const Places& places) {
  const int64_t end = rows_ + std::ssize(entry.tokens);
  const Draw draw = entry.draw.value_or(Draw{});
  for (int64_t row = end - LogitRowsOf(entry); row < end; ++row, ++picked_) {
    places.picked[picked_] = static_cast<int32_t>(row);
    places.draws[picked_] = draw;
  }
}

void LlamaDecoder::FillUp(int64_t bucket, const Places& places) {
  for (int64_t row = rows_; row < bucket; ++row) {
    places.ids[row] = 0;
    places.rows[row] = {0, nullptr};
    places.picked[row] = static_cast<int32_t>(row);
    places.draws[row] = Draw{};
  }
}

absl::Status LlamaDecoder::FetchLogits(int64_t first, int64_t count) {
  if (on_cpu_) return absl::OkStatus();
  const int64_t at = first * model_.vocab_size;
  return device_.CopyToHost(reinterpret_cast<std::byte*>(logits_.data() + at),
                            reinterpret_cast<const std::byte*>(parts_.buffers.logits + at),
                            BytesOf(ElementType::kFp32, count * model_.vocab_size));
}

std::span<const float> LlamaDecoder::HostLogits() const {
  const float* const logits = on_cpu_ ? parts_.buffers.logits : logits_.data();
  return {logits, static_cast<size_t>(picked_ * model_.vocab_size)};
}

absl::StatusOr<std::span<const float>> LlamaDecoder::Forward(std::span<const BatchEntry> batch) {
  PLIMSOLL_RETURN_IF_ERROR(Run(batch, /*draw=*/false));
  PLIMSOLL_RETURN_IF_ERROR(FetchLogits(0, picked_));
  return HostLogits();
}

absl::StatusOr<Drawn> LlamaDecoder::ForwardAndDraw(std::span<const BatchEntry> batch) {
  PLIMSOLL_RETURN_IF_ERROR(Run(batch, /*draw=*/true));
  PLIMSOLL_RETURN_IF_ERROR(parts_.tokens.Fetch(picked_));
  int64_t row = 0;
  for (const BatchEntry& entry : batch) {
    const int64_t count = LogitRowsOf(entry);
    if (entry.all_logits) PLIMSOLL_RETURN_IF_ERROR(FetchLogits(row, count));
    row += count;
  }
  PLIMSOLL_RETURN_IF_ERROR(device_.Synchronize());
  drawn_.clear();
  row = -1;
  for (const BatchEntry& entry : batch) {
    row += LogitRowsOf(entry);
    if (!entry.draw) continue;
    drawn_.push_back({parts_.tokens[row], passes_, static_cast<int32_t>(row)});
  }
  return Drawn{drawn_, HostLogits()};
}

}  // namespace

Bytes Decoder::BufferBytesFor(const ModelConfig& model, const DeviceBackend& device,
                              const Options& options, Tokens positions, Tokens block_tokens) {
  return StepPartBytes(model, device, {options, positions, block_tokens});
}

Bytes Decoder::GraphBytesFor(const ModelConfig& model, const DeviceBackend& device,
                             const Options& options) {
  return StepGraphs::BytesFor(model.layers, MostGraphRows(options, device.ops()));
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(const ModelConfig& model,
                                                         const Weights& weights,
                                                         const Compute& compute,
                                                         const CacheLayout& layout, Arena& arena,
                                                         const Options& options) {
  PLIMSOLL_CHECK(std::ssize(layout.layers) == model.layers, layout.layers.size(), model.layers);
  PLIMSOLL_CHECK(options.max_batched_tokens > Tokens(0) && options.max_logit_rows > 0);
  PLIMSOLL_CHECK(std::has_single_bit(static_cast<uint64_t>(layout.block_tokens.value())),
                 layout.block_tokens);
  PLIMSOLL_RETURN_IF_ERROR(CheckOps(compute.ops, model));
  PLIMSOLL_RETURN_IF_ERROR(CheckCudaLimits(model, layout, compute.device));
  absl::StatusOr<DecoderWeights> found = DecoderWeightsOf(model, weights);
  if (!found.ok()) return found.status();
  const Blocks blocks = BlocksFittingIn(arena.chunks() * arena.chunk_bytes(), layout.block_bytes);
  const Tokens positions =
      std::min(model.max_context, blocks.value() * layout.block_tokens);  // more has no room
  const StepExtent extent = {options, positions, layout.block_tokens};
  absl::StatusOr<StepParts> parts = StepPartsFor(model, *found, compute.device, extent);
  if (!parts.ok()) return parts.status();
  auto decoder = std::make_unique<LlamaDecoder>(model, *std::move(found), compute, layout,
                                                arena.base(), extent, *std::move(parts));
  PLIMSOLL_RETURN_IF_ERROR(decoder->CaptureGraphs());
  return decoder;
}

}  // namespace plimsoll
