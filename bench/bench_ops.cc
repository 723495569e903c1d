// The CPU's operations beside what this machine can read: one row of linear is bound by memory,
// many rows by arithmetic, attention of one row by memory again. Answers are compared with the
// reference before anything is timed.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "engine/ops/cpu_threads.h"
#include "engine/ops/float16.h"
#include "engine/ops/kv_row.h"
#include "engine/ops/ops.h"
#include "engine/ops/token_slot.h"
#include "engine/ops/weight_element.h"
#include "kvcache/sizing/kv_bytes.h"

namespace plimsoll {
namespace {

constexpr int64_t kOutputs = 4096;
constexpr int64_t kColumns = 4096;
constexpr int64_t kMatrices = 8;  // 256 MiB in 16 bits: from memory, not from cache

std::vector<float> RandomFloats(int64_t count) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(rng);
  return values;
}

std::vector<std::byte> RandomElements(ElementType type, int64_t count) {
  std::vector<std::byte> bytes(static_cast<size_t>(BytesOf(type, count).value()));
  std::mt19937 rng(2);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  for (int64_t i = 0; i < count; ++i) WriteElement(bytes.data(), type, i, uniform(rng));
  return bytes;
}

void CountBytes(benchmark::State& state, int64_t bytes_of_one) {
  state.SetBytesProcessed(state.iterations() * bytes_of_one);
}

// The ceiling: all threads add up what they read.
void BM_Read(benchmark::State& state) {
  const std::vector<uint64_t> words(size_t{32} << 20);
  std::atomic<uint64_t> total = 0;
  for (auto _ : state) {
    CpuThreads().ParallelFor(std::ssize(words), 1 << 16, [&](int64_t begin, int64_t end) {
      total += std::accumulate(words.begin() + begin, words.begin() + end, uint64_t{0});
    });
  }
  benchmark::DoNotOptimize(total.load());
  CountBytes(state, std::ssize(words) * 8);
}
BENCHMARK(BM_Read)->UseRealTime();

// kMatrices of [kOutputs, kColumns], one after the other, quantised ones with their scales behind:
// int8 with one scale a row, int4 with words of groups of 128.
struct Matrices {
  explicit Matrices(ElementType stored) : type(stored) {
    if (type != ElementType::kInt8 && type != ElementType::kInt4) {
      data = RandomElements(type, kOutputs * kColumns * kMatrices);
      return;
    }
    std::mt19937 rng(2);
    data.resize(static_cast<size_t>(DataBytes() * kMatrices));
    for (std::byte& each : data) each = static_cast<std::byte>(rng() & 0xff);
    scales.resize(static_cast<size_t>(ScaleBytesOf(At(0))));
    for (int64_t i = 0; i < std::ssize(scales) / 2; ++i) {
      const bool is_zero = type == ElementType::kInt4 && i % 2 == 1;
      WriteElement(scales.data(), ElementType::kFp16, i, is_zero ? 8.0f : 1 / 128.0f);
    }
  }

  int64_t DataBytes() const { return BytesOf(type, kOutputs * kColumns).value(); }
  int64_t ReadBytes() const { return DataBytes() + std::ssize(scales); }
  WeightView At(int64_t i) const {
    return {.data = data.data() + i * DataBytes(),
            .type = type,
            .rows = kOutputs,
            .cols = kColumns,
            .scales = scales.data(),
            .group = type == ElementType::kInt4 ? 128 : kColumns};
  }

  ElementType type;
  std::vector<std::byte> data;
  std::vector<std::byte> scales;  // the same for each
};

bool LinearAgrees(const LinearArgs& whole) {
  LinearArgs args = whole;
  args.weight.rows = 8;
  std::vector<float> want(static_cast<size_t>(args.rows * 8));
  std::vector<float> got(want.size());
  args.out = want.data();
  if (!ReferenceOps().linear(args).ok()) return false;
  args.out = got.data();
  if (!CpuOps().linear(args).ok()) return false;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!(std::abs(want[i] - got[i]) < 1e-2f)) return false;
  }
  return true;
}

// Rows, then the weights' type.
void BM_Linear(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const ElementType type = static_cast<ElementType>(state.range(1));
  const int64_t elements = kOutputs * kColumns;
  const Matrices weights(type);
  const std::vector<float> x = RandomFloats(rows * kColumns);
  std::vector<float> out(static_cast<size_t>(rows * kOutputs));
  LinearArgs args = {.x = x.data(),
                     .rows = rows,
                     .weight = weights.At(0),
                     .bias = {},
                     .accumulate = false,
                     .out = out.data()};
  if (!LinearAgrees(args)) return state.SkipWithError("wrong answer");
  int64_t matrix = 0;
  for (auto _ : state) {
    args.weight = weights.At(matrix++ % kMatrices);
    if (!CpuOps().linear(args).ok()) return state.SkipWithError("failed");
  }
  CountBytes(state, weights.ReadBytes());
  state.counters["multiply_adds"] = benchmark::Counter(
      static_cast<double>(elements * rows), benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(std::string(NameOf(type)));
}
BENCHMARK(BM_Linear)
    ->ArgsProduct({{1, 2, 4, 8, 32, 256}, {static_cast<int64_t>(ElementType::kBf16)}})
    ->ArgsProduct({{1}, {static_cast<int64_t>(ElementType::kFp16)}})
    ->ArgsProduct({{1}, {static_cast<int64_t>(ElementType::kFp32)}})
    ->ArgsProduct({{1, 2, 4, 8, 32}, {static_cast<int64_t>(ElementType::kInt8)}})
    ->ArgsProduct({{1, 2, 4, 8, 32}, {static_cast<int64_t>(ElementType::kInt4)}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// One row of 32 heads over 8 kv heads of 128, bf16, at this many positions.
// Blocks of one layer with random K and V at every position; the last block comes first.
struct AttentionPool {
  static constexpr int64_t kKvHeads = 8, kDim = 128, kBlock = 16;

  AttentionPool(ElementType stored, int64_t positions)
      : type(stored), blocks(CeilDivide(positions, kBlock)), table(static_cast<size_t>(blocks)) {
    std::iota(table.rbegin(), table.rend(), 0);
    pool.resize(static_cast<size_t>(blocks * BlockBytes()));
    const std::vector<float> x = RandomFloats(positions + 2 * kDim);
    const PagedLayer cache = Layer();
    for (int64_t p = 0; p < positions; ++p) {
      for (int64_t h = 0; h < kKvHeads; ++h) {
        std::byte* const key = KeySlot(cache, table.data(), p, h);
        std::byte* const word = KeyWord(cache, table.data(), p, h);
        WriteKvRow(type, x.data() + p + h, kDim, key, word);
        WriteKvRow(type, x.data() + p + 2 * h, kDim, key + ValueOffset(cache),
                   word + ValueWordOffset(cache));
      }
    }
  }
  Bytes RowBytes() const { return BytesOf(type, kDim); }
  int64_t BlockBytes() const {
    return (2 * kKvHeads * kBlock * (RowBytes() + ScaleBytesOf(type))).value();
  }
  PagedLayer Layer() {
    const Bytes kv = RowBytes() * kBlock;
    return {.pool = pool.data(),
            .type = type,
            .block_bytes = BlockBytes(),
            .block_tokens = kBlock,
            .layer = {.kv_heads = kKvHeads,
                      .head_dim = kDim,
                      .offset = Bytes(0),
                      .row_bytes = RowBytes(),
                      .kv_bytes = kv,
                      .head_bytes = 2 * kv,
                      .scales = 2 * kv * kKvHeads}};
  }

  ElementType type;
  int64_t blocks;
  std::vector<int32_t> table;
  std::vector<std::byte> pool;
};

// One row of a model of four query heads for each of K and V, in every type of cache.
void BM_Attention(benchmark::State& state) {
  constexpr int64_t kHeads = 32;
  const int64_t positions = state.range(0);
  AttentionPool pool(static_cast<ElementType>(state.range(1)), positions);
  const RowPlace place = {positions - 1, pool.table.data()};
  const std::vector<float> q = RandomFloats(kHeads * AttentionPool::kDim);
  std::vector<float> out(q.size());
  std::vector<float> want(q.size());
  AttentionArgs args = {.q = q.data(),
                        .rows = 1,
                        .heads = kHeads,
                        .scale = 0.0883883f,
                        .window = std::numeric_limits<int64_t>::max(),
                        .places = &place,
                        .cache = pool.Layer(),
                        .out = want.data()};
  if (!ReferenceOps().attention(args).ok()) return state.SkipWithError("failed");
  args.out = out.data();
  for (auto _ : state) {
    if (!CpuOps().attention(args).ok()) return state.SkipWithError("failed");
  }
  for (size_t i = 0; i < want.size(); ++i) {
    if (!(std::abs(want[i] - out[i]) < 1e-4f)) return state.SkipWithError("wrong answer");
  }
  CountBytes(state, pool.blocks * pool.BlockBytes());
  state.SetLabel(std::string(NameOf(pool.type)));
}
BENCHMARK(BM_Attention)
    ->ArgsProduct(
        {{2048, 32768},
         {static_cast<int64_t>(ElementType::kBf16), static_cast<int64_t>(ElementType::kFp8),
          static_cast<int64_t>(ElementType::kInt8), static_cast<int64_t>(ElementType::kInt4)}})
    ->UseRealTime();

}  // namespace
}  // namespace plimsoll
