#include "engine/ops/float16.h"

#include <cstring>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

template <class T>
T Load(const std::byte* data, int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <class T>
void Store(std::byte* data, int64_t index, T value) {
  std::memcpy(data + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

}  // namespace

bool IsFloatStorage(ElementType type) {
  return type == ElementType::kFp32 || type == ElementType::kFp16 || type == ElementType::kBf16;
}

float ReadElement(const std::byte* data, ElementType type, int64_t index) {
  PLIMSOLL_CHECK(IsFloatStorage(type), NameOf(type));
  if (type == ElementType::kBf16) return FloatFromBf16(Load<uint16_t>(data, index));
  if (type == ElementType::kFp16) return FloatFromFp16(Load<uint16_t>(data, index));
  return Load<float>(data, index);
}

void WriteElement(std::byte* data, ElementType type, int64_t index, float value) {
  PLIMSOLL_CHECK(IsFloatStorage(type), NameOf(type));
  if (type == ElementType::kBf16) return Store(data, index, Bf16FromFloat(value));
  if (type == ElementType::kFp16) return Store(data, index, Fp16FromFloat(value));
  Store(data, index, value);
}

}  // namespace plimsoll
