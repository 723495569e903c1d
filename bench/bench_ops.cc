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
#include "engine/ops/ops.h"
#include "engine/ops/weight_element.h"

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
void BM_Attention(benchmark::State& state) {
  constexpr int64_t kHeads = 32, kKvHeads = 8, kDim = 128, kBlock = 16;
  const int64_t positions = state.range(0);
  const ElementType type = ElementType::kBf16;
  const Bytes row = BytesOf(type, kDim);
  const Bytes kv = row * kBlock;
  const int64_t block_bytes = (kv * (2 * kKvHeads)).value();
  const int64_t blocks = CeilDivide(positions, kBlock);
  std::vector<std::byte> pool = RandomElements(type, blocks * block_bytes / 2);
  std::vector<int32_t> table(static_cast<size_t>(blocks));
  std::iota(table.rbegin(), table.rend(), 0);
  const RowPlace place = {positions - 1, table.data()};
  const std::vector<float> q = RandomFloats(kHeads * kDim);
  std::vector<float> out(q.size());
  std::vector<float> want(q.size());
  AttentionArgs args = {.q = q.data(),
                        .rows = 1,
                        .heads = kHeads,
                        .scale = 0.0883883f,
                        .window = std::numeric_limits<int64_t>::max(),
                        .places = &place,
                        .cache = {pool.data(),
                                  type,
                                  block_bytes,
                                  kBlock,
                                  {kKvHeads, kDim, Bytes(0), row, kv, 2 * kv}},
                        .out = want.data()};
  if (!ReferenceOps().attention(args).ok()) return state.SkipWithError("failed");
  args.out = out.data();
  for (auto _ : state) {
    if (!CpuOps().attention(args).ok()) return state.SkipWithError("failed");
  }
  for (size_t i = 0; i < want.size(); ++i) {
    if (!(std::abs(want[i] - out[i]) < 1e-4f)) return state.SkipWithError("wrong answer");
  }
  CountBytes(state, blocks * block_bytes);
}
BENCHMARK(BM_Attention)->Arg(128)->Arg(2048)->Arg(32768)->UseRealTime();

}  // namespace
}  // namespace plimsoll
