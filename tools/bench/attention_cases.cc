// Paged attention over a cache all of whose blocks hold the same tokens, so that a cache of any
// size is made, and judged by one block of it, at once. Blocks are used in an order that is none.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "absl/strings/str_format.h"
#include "engine/decoder/attention_plans.h"
#include "engine/decoder/step_inputs.h"
#include "engine/ops/kv_row.h"
#include "engine/ops/token_slot.h"
#include "kvcache/base/check.h"
#include "kvcache/sizing/cache_layout.h"
#include "tools/bench/bench_memory.h"
#include "tools/bench/kernel_cases.h"

namespace plimsoll {
namespace {

constexpr int64_t kBlockTokens = 16;
constexpr int64_t kJudgedRows = 2;           // the reference is slow
constexpr int64_t kContiguousTokens = 1024;  // a block of the peer, whose blocks are in order

ModelConfig ModelOf(const AttentionCase& test) {
  ModelConfig model;
  model.layers = test.layers;
  model.attention.assign(static_cast<size_t>(test.layers), {.heads = test.heads,
                                                            .kv_heads = test.kv_heads,
                                                            .head_dim = test.head_dim,
                                                            .value_dim = test.head_dim});
  return model;
}

// A product and a sum for each dim of K and of V, at all positions that rows see.
double FlopsOf(const AttentionCase& test) {
  const auto rows = static_cast<double>(test.rows);
  const double seen = rows * (static_cast<double>(test.context) - (rows - 1) / 2);
  return 4 * seen * static_cast<double>(test.sequences * test.heads * test.head_dim);
}

// One block of 16 tokens, repeated `tokens / 16` times over the slots of a block of `tokens`.
std::vector<std::byte> BlockOf(const CacheLayout& layout, int64_t tokens) {
  std::vector<std::byte> block(static_cast<size_t>(layout.block_bytes.value()));
  const PagedLayer cache = {.pool = block.data(),
                            .type = layout.type,
                            .block_bytes = layout.block_bytes.value(),
                            .block_tokens = tokens,
                            .layer = layout.layers[0]};
  const int32_t table[] = {0};
  const int64_t dim = layout.layers[0].head_dim;
  std::vector<float> row(static_cast<size_t>(dim));
  for (int64_t position = 0; position < tokens; ++position) {
    for (int64_t head = 0; head < layout.layers[0].kv_heads; ++head) {
      std::byte* const key = KeySlot(cache, table, position, head);
      std::byte* const word = HasWords(cache.type) ? KeyWord(cache, table, position, head) : key;
      std::mt19937 rng(static_cast<uint32_t>(position % kBlockTokens * 1000 + head));
      std::normal_distribution<float> normal;
      for (float& x : row) x = normal(rng);
      WriteKvRow(cache.type, row.data(), dim, key, word);
      for (float& x : row) x = normal(rng);
      WriteKvRow(cache.type, row.data(), dim, key + ValueOffset(cache),
                 word + ValueWordOffset(cache));
    }
  }
  return block;
}

// A call on the device over blocks of `block_tokens`, and all that it needs.
class Call {
 public:
  Call(const DeviceBackend& device, const AttentionCase& test)
      : device_(device), test_(test), memory_(device) {}

  absl::Status Prepare(int64_t block_tokens, bool in_order);
  absl::Status Run() { return device_.ops().attention(args_); }
  absl::StatusOr<std::vector<float>> Result() const { return memory_.Get(args_.out, Count()); }
  // What the reference makes of the first `rows`, which see the same block again and again.
  std::vector<float> Reference(int64_t rows) const;

 private:
  int64_t Count() const { return test_.AllRows() * test_.heads * test_.head_dim; }
  absl::Status PlaceRows(int64_t blocks, bool in_order);

  const DeviceBackend& device_;
  const AttentionCase test_;
  BenchMemory memory_;
  std::vector<std::byte> block_;
  std::vector<float> q_;
  absl::StatusOr<StepInputs> inputs_ = absl::UnknownError("");
  AttentionArgs args_ = {};
};

absl::Status Call::PlaceRows(int64_t blocks, bool in_order) {
  const int64_t rows = test_.AllRows();
  AttentionPlans plans(ModelOf(test_), device_, rows);
  const StepInputs::Shape shape = {.rows = rows,
                                   .logit_rows = 1,
                                   .items = plans.MostItems(rows),
                                   .splits = plans.MostSplits(rows)};
  inputs_ = StepInputs::Create(
      device_, {.shape = shape, .sequences = test_.sequences, .table_blocks = blocks});
  if (!inputs_.ok()) return inputs_.status();
  inputs_->Begin(shape);
  std::vector<int32_t> order(static_cast<size_t>(blocks * test_.sequences));
  std::iota(order.begin(), order.end(), 0);
  if (!in_order) std::shuffle(order.begin(), order.end(), std::mt19937(3));
  auto next = order.begin();
  for (int64_t s = 0; s < test_.sequences; ++s) {
    std::vector<BlockId> table;
    for (int64_t b = 0; b < blocks; ++b) table.push_back(BlockId(*next++));
    const int32_t* const there = inputs_->AddTable(table, blocks);
    for (int64_t i = 0; i < test_.rows; ++i) {
      inputs_->places()[s * test_.rows + i] = {test_.context - test_.rows + i, there};
    }
  }
  plans.Plan({inputs_->places(), static_cast<size_t>(rows)}, rows, /*fill=*/false, *inputs_);
  PLIMSOLL_RETURN_IF_ERROR(inputs_->Upload());
  args_.places = inputs_->OnDevice(inputs_->places());
  args_.work = plans.Of(0);
  const absl::StatusOr<std::byte*> partials = memory_.Take(
      (plans.partial_sums() + plans.partial_weights()) * static_cast<int64_t>(sizeof(float)));
  if (!partials.ok()) return partials.status();
  args_.work.partial_sums = reinterpret_cast<float*>(*partials);
  args_.work.partial_weights = args_.work.partial_sums + plans.partial_sums();
  return absl::OkStatus();
}

absl::Status Call::Prepare(int64_t block_tokens, bool in_order) {
  const absl::StatusOr<CacheLayout> layout =
      CacheLayoutFor(ModelOf(test_), test_.type, Tokens(block_tokens));
  if (!layout.ok()) return layout.status();
  const int64_t blocks = CeilDivide(test_.context, block_tokens);
  block_ = BlockOf(*layout, block_tokens);
  const absl::StatusOr<std::byte*> pool = memory_.Repeat(block_, blocks * test_.sequences);
  if (!pool.ok()) return pool.status();
  std::mt19937 rng(4);
  std::normal_distribution<float> normal;
  q_.resize(static_cast<size_t>(Count()));
  for (float& x : q_) x = normal(rng);
  const absl::StatusOr<float*> q = memory_.Put(q_);
  if (!q.ok()) return q.status();
  const absl::StatusOr<std::byte*> out =
      memory_.Take(Count() * static_cast<int64_t>(sizeof(float)));
  if (!out.ok()) return out.status();
  args_ = {.q = *q,
           .rows = test_.AllRows(),
           .heads = test_.heads,
           .scale = 1 / std::sqrt(static_cast<float>(test_.head_dim)),
           .window = INT64_MAX,
           .places = nullptr,
           .cache = {.pool = *pool,
                     .type = test_.type,
                     .block_bytes = layout->block_bytes.value(),
                     .block_tokens = block_tokens,
                     .layer = layout->layers[0]},
           .out = reinterpret_cast<float*>(*out)};
  return PlaceRows(blocks, in_order);
}

std::vector<float> Call::Reference(int64_t rows) const {
  const std::vector<int32_t> table(static_cast<size_t>(
      CeilDivide(test_.context, args_.cache.block_tokens)));  // all of them block 0
  std::vector<RowPlace> places;
  for (int64_t i = 0; i < rows; ++i) {
    places.push_back({test_.context - test_.rows + i % test_.rows, table.data()});
  }
  std::vector<std::byte> block = block_;
  std::vector<float> out(static_cast<size_t>(rows * test_.heads * test_.head_dim));
  AttentionArgs args = args_;
  args.rows = rows;
  args.q = q_.data();
  args.places = places.data();
  args.cache.pool = block.data();
  args.out = out.data();
  PLIMSOLL_CHECK(ReferenceOps().attention(args).ok());
  return out;
}

}  // namespace

absl::StatusOr<KernelResult> MeasureAttention(const DeviceBackend& device,
                                              const AttentionCase& test) {
  Call paged(device, test);
  PLIMSOLL_RETURN_IF_ERROR(paged.Prepare(kBlockTokens, /*in_order=*/false));
  PLIMSOLL_RETURN_IF_ERROR(paged.Run());
  const absl::StatusOr<std::vector<float>> got = paged.Result();
  if (!got.ok()) return got.status();
  const int64_t words = HasWords(test.type) ? kWordBytes : 0;
  KernelResult result{
      .kernel = absl::StrFormat(
          "attention %s %d/%d x %d, context %d%s", std::string(NameOf(test.type)), test.heads,
          test.kv_heads, test.head_dim, test.context,
          (test.layers == 1 ? "" : absl::StrFormat(", blocks of %d layers", test.layers)) +
              (test.rows == 1 ? "" : absl::StrFormat(", chunks of %d", test.rows))),
      .rows = test.AllRows(),
      .bytes = 2.0 * static_cast<double>(test.sequences * test.context * test.kv_heads) *
               static_cast<double>(BytesOf(test.type, test.head_dim).value() + words),
      .flops = FlopsOf(test),
      .tolerance = test.type == ElementType::kBf16 ? 5e-3 : 1e-3,
      .peer = "contiguous"};
  const int64_t width = test.heads * test.head_dim;
  const int64_t judged = std::min(test.AllRows(), kJudgedRows);
  const std::vector<float> first(got->begin(), got->begin() + judged * width);
  result.distance = DistanceFromRepeated(first, paged.Reference(judged), width, width);
  const absl::StatusOr<double> seconds = SecondsOf(device, [&] { return paged.Run(); });
  if (!seconds.ok()) return seconds.status();
  result.seconds = *seconds;
  AttentionCase one_layer = test;
  one_layer.layers = 1;
  Call contiguous(device, one_layer);
  PLIMSOLL_RETURN_IF_ERROR(contiguous.Prepare(kContiguousTokens, /*in_order=*/true));
  const absl::StatusOr<double> peer = SecondsOf(device, [&] { return contiguous.Run(); });
  if (!peer.ok()) return peer.status();
  result.peer_seconds = *peer;
  return result;
}

}  // namespace plimsoll
