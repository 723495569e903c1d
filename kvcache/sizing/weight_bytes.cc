#include "kvcache/sizing/weight_bytes.h"

#include <utility>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr int64_t kFp8ScaleBytes = 4;   // a matrix
constexpr int64_t kInt8ScaleBytes = 2;  // a row
constexpr int64_t kInt4GroupBytes = 4;  // a row and group: scale and zero, 2 bytes each
constexpr ElementType kUnquantised = ElementType::kBf16;

// Scales and zeros of one matrix.
Bytes ScaleBytes(ElementType type, int64_t rows, int64_t columns) {
  if (type == ElementType::kFp8) return Bytes(kFp8ScaleBytes);
  if (type == ElementType::kInt8) return Bytes(rows * kInt8ScaleBytes);
  if (type == ElementType::kInt4) {
    return Bytes(rows * CeilDivide(columns, kInt4Group) * kInt4GroupBytes);
  }
  return Bytes(0);
}

// What a sum over tensors found, in elements and bytes.
struct Split {
  int64_t matrix_elements = 0;
  int64_t other_elements = 0;
  Bytes elements, scales;
};

Split SplitOf(const ModelConfig& model, ElementType type) {
  Split split;
  for (const TensorSpec& tensor : model.tensors) {
    if (!IsMatrix(tensor.role)) {
      split.other_elements += tensor.Elements();
      continue;
    }
    const int64_t rows = tensor.shape[0];
    const int64_t columns = tensor.shape[1];
    split.matrix_elements += tensor.Elements();
    split.elements += BytesOf(type, columns) * rows * tensor.Copies();
    split.scales += ScaleBytes(type, rows, columns) * tensor.Copies();
  }
  return split;
}

std::string Elements(int64_t count, ElementType type) {
  const std::string bits = std::to_string(BitsOf(type));
  return std::to_string(count) + " x " +
         (BitsOf(type) % 8 == 0 ? std::to_string(BitsOf(type) / 8) + " bytes" : bits + " bits");
}

}  // namespace

bool IsQuantised(ElementType type) { return BitsOf(type) < 16; }

bool IsMatrix(TensorRole role) {
  return role == TensorRole::kLinear || role == TensorRole::kExpert;
}

Bytes MatrixBytes(ElementType type, int64_t rows, int64_t columns) {
  return BytesOf(type, columns) * rows + ScaleBytes(type, rows, columns);
}

WeightBytes WeightBytesOf(const ModelConfig& model, ElementType type) {
  if (!IsQuantised(type)) {
    const int64_t parameters = model.Parameters();
    const std::string bytes = std::to_string(BitsOf(type) / 8);
    return {.total = BytesOf(type, parameters),
            .formula = std::to_string(parameters) + " parameters x " + bytes + " bytes"};
  }
  const Split split = SplitOf(model, type);
  const Bytes others = BytesOf(kUnquantised, split.other_elements);
  return {.total = split.elements + split.scales + others,
          .formula = Elements(split.matrix_elements, type) + " + " +
                     std::to_string(split.scales.value()) + " bytes of scales + " +
                     Elements(split.other_elements, kUnquantised)};
}

}  // namespace plimsoll
