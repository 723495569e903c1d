// Loading stored numbers as vectors of floats, compiled once per kind of machine. Included by the
// *_cpu.cc files inside Highway's dispatch; see foreach_target.h.
//
// Threads: pure. Cost: one or two instructions per vector; Tail is slower. Errors: none.
#if defined(PLIMSOLL_ENGINE_OPS_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLIMSOLL_ENGINE_OPS_VECTORS_INL_H_
#undef PLIMSOLL_ENGINE_OPS_VECTORS_INL_H_
#else
#define PLIMSOLL_ENGINE_OPS_VECTORS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kvcache/base/element_type.h"

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using FloatVector = hn::Vec<Floats>;

HWY_INLINE FloatVector LoadFloats(Floats d, const float* from) { return hn::LoadU(d, from); }
template <class Narrow>
HWY_INLINE FloatVector LoadFloats(Floats d, const Narrow* from) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<Narrow, Floats>(), from));
}

// The first `count` < Lanes numbers, zeros behind them; reads nothing past them.
template <class T>
HWY_INLINE FloatVector LoadTail(Floats d, const T* from, size_t count) {
  HWY_ALIGN T padded[hn::MaxLanes(Floats())] = {};
  std::memcpy(padded, from, count * sizeof(T));
  return LoadFloats(d, padded);
}

HWY_INLINE void StoreTail(Floats d, FloatVector v, float* to, size_t count) {
  HWY_ALIGN float padded[hn::MaxLanes(Floats())];
  hn::Store(v, d, padded);
  std::memcpy(to, padded, count * sizeof(float));
}

HWY_INLINE float Sum(Floats d, FloatVector v) { return hn::GetLane(hn::SumOfLanes(d, v)); }

// out[i] = function(vector of x[i], i) for i in [0, count), whole vectors first.
template <class T, class Function>
HWY_INLINE void TransformFloats(const T* x, int64_t count, float* out, const Function& function) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(function(LoadFloats(d, x + i), i), d, out + i);
  if (i == count) return;
  const size_t left = static_cast<size_t>(count - i);
  StoreTail(d, function(LoadTail(d, x + i, left), i), out + i, left);
}

// Calls function(typed pointer) for stored numbers of a type that IsFloatStorage.
template <class Function>
HWY_INLINE void WithType(ElementType type, const std::byte* data, const Function& function) {
  if (type == ElementType::kBf16) return function(reinterpret_cast<const hwy::bfloat16_t*>(data));
  if (type == ElementType::kFp16) return function(reinterpret_cast<const hwy::float16_t*>(data));
  function(reinterpret_cast<const float*>(data));
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#endif  // per target
