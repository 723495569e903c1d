// A paged cache of any type for tests of kernels: bytes as a kernel reads them, and beside them the
// numbers that those bytes mean, by definitions of their own.
//
// Two layers lie in a block, of which the second is used; every byte that holds no token is 0xff,
// NaN in 16-bit floats and in the words of scales. Sequences get their blocks out of order.
#pragma once

#include <cuda_fp8.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "engine/ops/float16.h"
#include "kvcache/base/element_type.h"
#include "tests/engine/ops/problems.h"

namespace plimsoll {

class KvPool {
 public:
  struct Shape {
    ElementType type;
    int64_t kv_heads;
    int64_t head_dim;
    int64_t block_tokens;
    float value_scale = 1;     // how large numbers of V are
    bool layer_major = false;  // all blocks of a layer together, in place of all layers of a block
  };

  KvPool(const Shape& shape, const std::vector<int64_t>& lengths, std::mt19937& rng)
      : shape_(shape) {
    row_bytes_ = BytesOf(shape.type, shape.head_dim).value();
    const bool scaled = shape.type == ElementType::kInt8 || shape.type == ElementType::kInt4;
    scales_ = 2 * shape.kv_heads * shape.block_tokens * row_bytes_;
    layer_bytes_ = scales_ + (scaled ? 8 * shape.kv_heads * shape.block_tokens : 0);
    int64_t blocks = 3;
    for (const int64_t length : lengths) blocks += length / shape.block_tokens + 1;
    blocks_.resize(static_cast<size_t>(blocks));
    std::iota(blocks_.begin(), blocks_.end(), 0);
    std::shuffle(blocks_.begin(), blocks_.end(), rng);
    bytes_.assign(static_cast<size_t>(2 * blocks * layer_bytes_ / 16), uint64_pair{~0ull, ~0ull});
    size_t next = 0;
    for (const int64_t length : lengths) {
      const auto count = static_cast<size_t>(CeilDivide(length, shape.block_tokens));
      tables_.emplace_back(blocks_.begin() + static_cast<ptrdiff_t>(next),
                           blocks_.begin() + static_cast<ptrdiff_t>(next + count));
      next += count;
      Fill(tables_.size() - 1, length, rng);
    }
  }

  int64_t block_bytes() const { return shape_.layer_major ? layer_bytes_ : 2 * layer_bytes_; }
  int64_t kv_bytes() const { return shape_.block_tokens * row_bytes_; }
  int64_t head_bytes() const { return 2 * kv_bytes(); }
  int64_t scales() const { return scales_; }
  const Shape& shape() const { return shape_; }

  // The layer in block 0.
  std::byte* layer() const {
    const auto blocks = static_cast<int64_t>(blocks_.size());
    auto* const bytes = const_cast<std::byte*>(reinterpret_cast<const std::byte*>(bytes_.data()));
    return bytes + (shape_.layer_major ? blocks * layer_bytes_ : layer_bytes_);
  }
  // Where that is in all the bytes.
  int64_t layer_offset() const {
    return layer() - reinterpret_cast<const std::byte*>(bytes_.data());
  }
  std::vector<std::byte> bytes() const {
    const auto* const first = reinterpret_cast<const std::byte*>(bytes_.data());
    return {first, first + bytes_.size() * sizeof(uint64_pair)};
  }
  const std::vector<int32_t>& table(size_t sequence) const { return tables_[sequence]; }

  // What is stored of K (kv = 0) or V (1) at a position, as numbers.
  const std::vector<float>& Numbers(size_t sequence, int64_t position, int64_t head,
                                    int64_t kv) const {
    const int64_t at = (position * shape_.kv_heads + head) * 2 + kv;
    return numbers_[sequence][static_cast<size_t>(at)];
  }

 private:
  struct alignas(16) uint64_pair {
    uint64_t low, high;
  };

  void Fill(size_t sequence, int64_t length, std::mt19937& rng) {
    numbers_.emplace_back();
    for (int64_t p = 0; p < length; ++p) {
      for (int64_t h = 0; h < shape_.kv_heads; ++h) {
        for (int64_t kv = 0; kv < 2; ++kv) {
          const float scale = kv == 1 ? shape_.value_scale : 1;
          numbers_.back().push_back(
              Store(sequence, p, h, kv, RandomFloats(shape_.head_dim, rng, scale)));
        }
      }
    }
  }

  // Writes the numbers in the pool's type and returns what they became.
  std::vector<float> Store(size_t sequence, int64_t position, int64_t head, int64_t kv,
                           const std::vector<float>& numbers) {
    const int64_t block = tables_[sequence][static_cast<size_t>(position / shape_.block_tokens)];
    const int64_t slot = position % shape_.block_tokens;
    std::byte* const at = layer() + block * block_bytes();
    std::byte* const row = at + head * head_bytes() + kv * kv_bytes() + slot * row_bytes_;
    std::byte* const word = at + scales_ + 4 * ((head * 2 + kv) * shape_.block_tokens + slot);
    switch (shape_.type) {
      case ElementType::kInt8:
        return StoreIntegers(numbers, 255, row, word);
      case ElementType::kInt4:
        return StoreIntegers(numbers, 15, row, word);
      case ElementType::kFp8:
        return StoreFp8(numbers, row);
      default:
        return StoreHalves(numbers, row);
    }
  }

  std::vector<float> StoreHalves(std::vector<float> numbers, std::byte* row) const {
    for (size_t i = 0; i < numbers.size(); ++i) {
      WriteElement(row, shape_.type, static_cast<int64_t>(i), numbers[i]);
      numbers[i] = ReadElement(row, shape_.type, static_cast<int64_t>(i));
    }
    return numbers;
  }

  static std::vector<float> StoreFp8(std::vector<float> numbers, std::byte* row) {
    numbers[0] = -0x1p-9f;  // the smallest denormal
    for (size_t i = 0; i < numbers.size(); ++i) {
      const __nv_fp8_e4m3 stored(numbers[i]);
      std::memcpy(row + i, &stored, 1);
      numbers[i] = static_cast<float>(stored);
    }
    return numbers;
  }

  // Every value between the smallest and the largest gets the nearest of `most` + 1 steps.
  static std::vector<float> StoreIntegers(std::vector<float> numbers, int most, std::byte* row,
                                          std::byte* word) {
    const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
    const uint16_t scale_bits = Fp16FromFloat((*high - *low) / static_cast<float>(most));
    const uint16_t zero_bits = Fp16FromFloat(*low);
    std::memcpy(word, &scale_bits, 2);
    std::memcpy(word + 2, &zero_bits, 2);
    const float scale = FloatFromFp16(scale_bits);
    const float zero = FloatFromFp16(zero_bits);
    for (size_t i = 0; i < numbers.size(); ++i) {
      const long step = std::clamp(std::lround((numbers[i] - zero) / scale), 0l, long{most});
      numbers[i] = zero + scale * static_cast<float>(step);
      const auto bits = static_cast<std::byte>(step);
      if (most == 255) {
        row[i] = bits;
      } else {
        row[i / 2] = i % 2 == 0 ? bits : row[i / 2] | bits << 4;
      }
    }
    return numbers;
  }

  Shape shape_;
  int64_t row_bytes_ = 0;
  int64_t layer_bytes_ = 0;
  int64_t scales_ = 0;
  std::vector<int32_t> blocks_;
  std::vector<uint64_pair> bytes_;
  std::vector<std::vector<int32_t>> tables_;
  std::vector<std::vector<std::vector<float>>> numbers_;
};

}  // namespace plimsoll
