// Quantised weights for tests: random numbers and scales, each in memory that ends where it does.
#pragma once

#include "engine/ops/weight_element.h"
#include "tests/engine/ops/problems.h"

namespace plimsoll {

struct QuantisedWeight {
  WeightView view;  // of the bytes below; not to be copied
  std::vector<std::byte> bytes;
  std::vector<std::byte> scales;

  // Scales around 1 / 64, zeros (of int4) anywhere from 0 to 15.
  QuantisedWeight(ElementType type, int64_t rows, int64_t cols, int64_t group, std::mt19937& rng)
      : view{.data = nullptr, .type = type, .rows = rows, .cols = cols, .group = group} {
    bytes.resize(static_cast<size_t>(rows * RowBytesOf(view)));
    scales.resize(static_cast<size_t>(ScaleBytesOf(view)));
    for (std::byte& each : bytes) each = static_cast<std::byte>(rng() & 0xff);
    std::uniform_real_distribution<float> scale(0.5f / 64, 1.5f / 64);
    const int64_t halves = std::ssize(scales) / 2;
    for (int64_t i = 0; i < halves; ++i) {
      const bool is_zero = type == ElementType::kInt4 && i % 2 == 1;
      const float value = is_zero ? static_cast<float>(rng() % 16) : scale(rng);
      WriteElement(scales.data(), ElementType::kFp16, i, value);
    }
    view.data = bytes.data();
    view.scales = scales.data();
  }
  QuantisedWeight(const QuantisedWeight&) = delete;
  QuantisedWeight& operator=(const QuantisedWeight&) = delete;
};

}  // namespace plimsoll
