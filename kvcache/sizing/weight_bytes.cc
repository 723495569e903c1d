#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

constexpr int64_t kFp8ScaleBytes = 4;   // a matrix
constexpr int64_t kInt8ScaleBytes = 2;  // a row
constexpr int64_t kInt4GroupBytes = 4;  // a row and group: scale and zero, 2 bytes each

}  // namespace

Bytes ScaleBytes(ElementType type, int64_t rows, int64_t columns) {
  if (type == ElementType::kFp8) return Bytes(kFp8ScaleBytes);
  if (type == ElementType::kInt8) return Bytes(rows * kInt8ScaleBytes);
  if (type == ElementType::kInt4) {
    return Bytes(rows * CeilDivide(columns, kInt4Group) * kInt4GroupBytes);
  }
  return Bytes(0);
}

bool IsQuantised(ElementType type) { return BitsOf(type) < 16; }

bool IsMatrix(TensorRole role) {
  return role == TensorRole::kLinear || role == TensorRole::kExpert;
}

Bytes MatrixBytes(ElementType type, int64_t rows, int64_t columns) {
  return BytesOf(type, columns) * rows + ScaleBytes(type, rows, columns);
}

}  // namespace plimsoll
