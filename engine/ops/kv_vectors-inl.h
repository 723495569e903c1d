// Rows of K and V as vectors of floats, whatever they are stored as; compiled once per kind of
// machine, inside Highway's dispatch. Of int8 and int4 these are the numbers q of kv_row.h: who
// reads them applies the row's word to the sums.
//
// Threads: pure. Cost: one to ten instructions per vector; Tail is slower. Errors: none.
#if defined(PLIMSOLL_ENGINE_OPS_KV_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLIMSOLL_ENGINE_OPS_KV_VECTORS_INL_H_
#undef PLIMSOLL_ENGINE_OPS_KV_VECTORS_INL_H_
#else
#define PLIMSOLL_ENGINE_OPS_KV_VECTORS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/ops/vectors-inl.h"
#include "hwy/highway.h"
#include "kvcache/base/element_type.h"

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {

// Names of what a row holds.
template <class T>
struct PlainRow {  // float, hwy::float16_t, hwy::bfloat16_t
  static constexpr int64_t kBits = 8 * sizeof(T);
  static constexpr bool kHasWords = false;
  static HWY_INLINE FloatVector Load(Floats d, const std::byte* from) {
    return LoadFloats(d, reinterpret_cast<const T*>(from));
  }
};

struct E4m3Row {
  static constexpr int64_t kBits = 8;
  static constexpr bool kHasWords = false;
  static HWY_INLINE FloatVector Load(Floats d, const std::byte* from) {
    const hn::Rebind<int32_t, Floats> wide;
    const auto code = hn::PromoteTo(
        wide, hn::LoadU(hn::Rebind<uint8_t, Floats>(), reinterpret_cast<const uint8_t*>(from)));
    const auto magnitude = hn::And(code, hn::Set(wide, 0x7f));
    const FloatVector normal =
        hn::BitCast(d, hn::Add(hn::ShiftLeft<20>(magnitude), hn::Set(wide, 120 << 23)));
    const FloatVector small = hn::Mul(hn::ConvertTo(d, magnitude), hn::Set(d, 0x1p-9f));
    const auto is_small = hn::RebindMask(d, hn::Lt(magnitude, hn::Set(wide, 8)));
    const auto is_nan = hn::RebindMask(d, hn::Eq(magnitude, hn::Set(wide, 0x7f)));
    const FloatVector value =
        hn::IfThenElse(is_nan, hn::NaN(d), hn::IfThenElse(is_small, small, normal));
    return hn::Or(value, hn::BitCast(d, hn::ShiftLeft<31>(hn::ShiftRight<7>(code))));
  }
};

struct Int8Row {
  static constexpr int64_t kBits = 8;
  static constexpr bool kHasWords = true;
  static HWY_INLINE FloatVector Load(Floats d, const std::byte* from) {
    const hn::Rebind<uint8_t, Floats> bytes;
    return FromBytes(d, hn::LoadU(bytes, reinterpret_cast<const uint8_t*>(from)));
  }
  template <class ByteVector>
  static HWY_INLINE FloatVector FromBytes(Floats d, ByteVector bytes) {
    return hn::ConvertTo(d, hn::PromoteTo(hn::Rebind<int32_t, Floats>(), bytes));
  }
};

struct Int4Row {
  static constexpr int64_t kBits = 4;
  static constexpr bool kHasWords = true;
  static HWY_INLINE FloatVector Load(Floats d, const std::byte* from) {
    const hn::Rebind<uint8_t, Floats> bytes;
    const hn::Repartition<uint16_t, decltype(bytes)> pairs;
    const hn::Rebind<uint8_t, decltype(pairs)> packed;
    const auto both =
        hn::PromoteTo(pairs, hn::LoadU(packed, reinterpret_cast<const uint8_t*>(from)));
    const auto apart = hn::And(hn::Or(both, hn::ShiftLeft<4>(both)), hn::Set(pairs, 0x0f0f));
    return Int8Row::FromBytes(d, hn::BitCast(bytes, apart));
  }
};

// Dims [i, i + lanes) of a row; `i` is a multiple of lanes.
template <class Row>
HWY_INLINE FloatVector LoadKv(Floats d, const std::byte* row, int64_t i) {
  return Row::Load(d, row + i * Row::kBits / 8);
}

// Dims [i, i + count) with `count` < lanes, which end the row; zeros behind them.
template <class Row>
HWY_INLINE FloatVector LoadKvTail(Floats d, const std::byte* row, int64_t i, size_t count) {
  HWY_ALIGN std::byte padded[hn::MaxLanes(Floats()) * sizeof(float)] = {};
  const size_t bits = count * static_cast<size_t>(Row::kBits);
  std::memcpy(padded, row + i * Row::kBits / 8, (bits + 7) / 8);
  return Row::Load(d, padded);
}

// Calls function(a value of the row type) for a type that a cache holds.
template <class Function>
HWY_INLINE void WithRowOf(ElementType type, const Function& function) {
  if (type == ElementType::kBf16) return function(PlainRow<hwy::bfloat16_t>());
  if (type == ElementType::kFp16) return function(PlainRow<hwy::float16_t>());
  if (type == ElementType::kFp8) return function(E4m3Row());
  if (type == ElementType::kInt8) return function(Int8Row());
  if (type == ElementType::kInt4) return function(Int4Row());
  function(PlainRow<float>());
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#endif  // per target
