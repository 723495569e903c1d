// Inputs for tests of operations: stored weights, and a paged cache full of NaN.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "engine/ops/float16.h"
#include "engine/ops/kv_row.h"
#include "engine/ops/ops.h"
#include "engine/ops/token_slot.h"

namespace plimsoll {

inline constexpr ElementType kStorageTypes[] = {ElementType::kFp32, ElementType::kFp16,
                                                ElementType::kBf16};
inline constexpr ElementType kCacheTypes[] = {ElementType::kFp32, ElementType::kFp16,
                                              ElementType::kBf16, ElementType::kFp8,
                                              ElementType::kInt8, ElementType::kInt4};

inline std::mt19937 SeededGenerator() {
  return std::mt19937(static_cast<uint32_t>(testing::UnitTest::GetInstance()->random_seed()));
}
inline std::string RerunHint() {
  return "rerun with --gtest_random_seed=" +
         std::to_string(testing::UnitTest::GetInstance()->random_seed());
}

inline std::vector<float> RandomFloats(int64_t count, std::mt19937& rng, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(rng);
  return values;
}

// Numbers as a checkpoint would hold them. The memory ends where the numbers do, so that a
// sanitizer sees a read past them.
struct Stored {
  ElementType type;
  std::vector<std::byte> bytes;

  Stored(ElementType stored_as, const std::vector<float>& values)
      : type(stored_as), bytes(static_cast<size_t>(BytesOf(type, std::ssize(values)).value())) {
    for (int64_t i = 0; i < std::ssize(values); ++i) {
      WriteElement(bytes.data(), type, i, values[static_cast<size_t>(i)]);
    }
  }
  WeightView View(int64_t rows, int64_t cols) const { return {bytes.data(), type, rows, cols}; }
};

// |a - b| / |b|, over all elements; NaN anywhere is infinitely far.
inline double RelativeDistance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double distance = 0;
  double length = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return INFINITY;
    distance += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    length += double{b[i]} * b[i];
  }
  return length == 0 ? std::sqrt(distance) : std::sqrt(distance / length);
}

// Two layers' worth of blocks, of which the second is under test; every byte is NaN in any type.
// Sequences get their blocks out of order.
class CacheUnderTest {
 public:
  struct Shape {
    ElementType type;
    int64_t kv_heads;
    int64_t head_dim;
    int64_t block_tokens;
  };

  CacheUnderTest(const Shape& shape, const std::vector<int64_t>& lengths, std::mt19937& rng) {
    const Bytes row = BytesOf(shape.type, shape.head_dim);
    const Bytes kv = row * shape.block_tokens;
    const Bytes rows = kv * (2 * shape.kv_heads);
    const int64_t words = HasWords(shape.type) ? 2 * shape.kv_heads * shape.block_tokens : 0;
    const Bytes layer_bytes = rows + Bytes(words * kWordBytes);
    int64_t blocks = 1;  // block 0 is nobody's
    for (const int64_t length : lengths) blocks += CeilDivide(length, shape.block_tokens);
    const int64_t block_bytes = 2 * layer_bytes.value();
    pool_.assign(static_cast<size_t>(blocks * block_bytes), std::byte{0xff});
    std::vector<int32_t> order(static_cast<size_t>(blocks - 1));
    std::iota(order.begin(), order.end(), 1);
    std::shuffle(order.begin(), order.end(), rng);
    auto next = order.begin();
    for (const int64_t length : lengths) {
      const auto end = next + CeilDivide(length, shape.block_tokens);
      tables_.emplace_back(next, end);
      next = end;
    }
    layer_ = {.pool = pool_.data(),
              .type = shape.type,
              .block_bytes = block_bytes,
              .block_tokens = shape.block_tokens,
              .layer = {.kv_heads = shape.kv_heads,
                        .head_dim = shape.head_dim,
                        .offset = layer_bytes,
                        .row_bytes = row,
                        .kv_bytes = kv,
                        .head_bytes = 2 * kv,
                        .scales = layer_bytes + rows}};
  }

  CacheUnderTest(const CacheUnderTest&) = delete;
  CacheUnderTest& operator=(const CacheUnderTest&) = delete;

  const PagedLayer& layer() const { return layer_; }
  const int32_t* table(int64_t sequence) const {
    return tables_[static_cast<size_t>(sequence)].data();
  }
  const std::vector<std::byte>& bytes() const { return pool_; }

  // Writes random K and V at every position below `length`.
  void Fill(int64_t sequence, int64_t length, std::mt19937& rng) {
    for (int64_t p = 0; p < length; ++p) {
      for (int64_t h = 0; h < layer_.layer.kv_heads; ++h) {
        WriteKey(sequence, p, h, RandomFloats(layer_.layer.head_dim, rng));
        WriteValue(sequence, p, h, RandomFloats(layer_.layer.head_dim, rng));
      }
    }
  }
  void WriteKey(int64_t sequence, int64_t position, int64_t kv_head,
                const std::vector<float>& values) {
    WriteKvRow(layer_.type, values.data(), std::ssize(values),
               KeySlot(layer_, table(sequence), position, kv_head),
               KeyWord(layer_, table(sequence), position, kv_head));
  }
  void WriteValue(int64_t sequence, int64_t position, int64_t kv_head,
                  const std::vector<float>& values) {
    WriteKvRow(layer_.type, values.data(), std::ssize(values),
               KeySlot(layer_, table(sequence), position, kv_head) + ValueOffset(layer_),
               KeyWord(layer_, table(sequence), position, kv_head) + ValueWordOffset(layer_));
  }

 private:
  std::vector<std::byte> pool_;
  std::vector<std::vector<int32_t>> tables_;
  PagedLayer layer_;
};

// A test body for each table of AllOps().
class EveryTable : public testing::TestWithParam<const Ops*> {};

inline std::string TableName(const testing::TestParamInfo<const Ops*>& info) {
  return std::string(info.param->name);
}

}  // namespace plimsoll
