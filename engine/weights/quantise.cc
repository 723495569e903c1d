#include "engine/weights/quantise.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/float16.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

// Of |x| < 2^22: beyond 1.5 * 2^23, a float has no room for a fraction. Unlike the library's
// function, a compiler can do several at once.
float Nearest(float x) {
  constexpr float kShift = 0x1.8p23f;
  return (x + kShift) - kShift;
}

struct Range {
  float least = 0;  // 0 is always among them
  float most = 0;
  bool finite = true;
};

Range RangeOf(std::span<const float> values) {
  Range range;
  float sum = 0;  // NaN where any number is not finite
  for (const float value : values) {
    range.least = std::min(range.least, value);
    range.most = std::max(range.most, value);
    sum += value * 0;
  }
  range.finite = sum == 0;
  return range;
}

// The scale as it is stored; 0 only where all numbers are.
float StoredScale(float scale) {
  constexpr float kLeast = 0x1p-24f;
  return scale > 0 ? std::max(FloatFromFp16(Fp16FromFloat(scale)), kLeast) : 0;
}

// A group of zeros has the scale 0, and any divisor leaves them 0.
float Divisor(float scale) { return scale > 0 ? scale : 1; }

float Quantised(float value, float divisor, float zero, float least, float most) {
  return std::clamp(Nearest(value / divisor) + zero, least, most);
}

float QuantiseInt8(std::span<const float> values, const Range& range, std::byte* out) {
  const float scale = StoredScale(std::max(-range.least, range.most) / 127);
  const float divisor = Divisor(scale);
  for (size_t i = 0; i < values.size(); ++i) {
    const float q = Quantised(values[i], divisor, 0, -128, 127);
    out[i] = static_cast<std::byte>(static_cast<int8_t>(q));
  }
  return scale;
}

struct ScaleAndZero {
  float scale;
  float zero;
};

ScaleAndZero QuantiseInt4(std::span<const float> values, const Range& range, std::byte* out) {
  const float scale = StoredScale((range.most - range.least) / 15);
  const float divisor = Divisor(scale);
  const float zero = std::clamp(Nearest(-range.least / divisor), 0.0f, 15.0f);
  const auto number = [&](float value) {
    return static_cast<uint8_t>(Quantised(value, divisor, zero, 0, 15));
  };
  size_t i = 0;
  for (; i + 2 <= values.size(); i += 2) {
    out[i / 2] = static_cast<std::byte>(number(values[i]) | number(values[i + 1]) << 4);
  }
  if (i < values.size()) out[i / 2] = static_cast<std::byte>(number(values[i]));
  return {scale, zero};
}

}  // namespace

bool QuantiseRow(ElementType type, int64_t group, std::span<const float> row, std::byte* out,
                 std::byte* scales) {
  PLIMSOLL_CHECK(type == ElementType::kInt8 || type == ElementType::kInt4, NameOf(type));
  PLIMSOLL_CHECK(group > 0 && (group % 2 == 0 || group >= std::ssize(row)), group);
  const auto store = [&](int64_t at, float value) {
    WriteElement(scales, ElementType::kFp16, at, value);
  };
  for (int64_t g = 0; g * group < std::ssize(row); ++g) {
    const size_t begin = static_cast<size_t>(g * group);
    const auto values =
        row.subspan(begin, std::min(static_cast<size_t>(group), row.size() - begin));
    const Range range = RangeOf(values);
    if (!range.finite) return false;
    float scale = 0;
    if (type == ElementType::kInt8) {
      scale = QuantiseInt8(values, range, out + begin);
      store(g, scale);
    } else {
      const ScaleAndZero both = QuantiseInt4(values, range, out + begin / 2);
      scale = both.scale;
      store(2 * g, scale);
      store(2 * g + 1, both.zero);
    }
    if (!std::isfinite(scale)) return false;
  }
  return true;
}

}  // namespace plimsoll
