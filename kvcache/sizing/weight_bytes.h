// Bytes of a model's weights, as stored in each format.
//
//   fp32, tf32   4 bytes an element
//   fp16, bf16   2 bytes an element
//   fp8          matrices: 1 byte an element and one 4-byte scale a matrix
//   int8         matrices: 1 byte an element and one 2-byte scale a row
//   int4         matrices: half a byte an element and, for each row and group of 128, one 4-byte
//                word of scale and zero: 4.25 bits an element
//
// "Matrices" are the linear layers and the experts. What a quantised format leaves alone (the
// embedding, the head, norms, biases, routers) has 2 bytes an element.
//
// Threads: pure. Cost: O(tensors). Errors: none; a ModelConfig is bounded.
#pragma once

#include <string>

#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// Inputs that share one scale and zero in int4.
inline constexpr int64_t kInt4Group = 128;

struct WeightBytes {
  Bytes total;
  std::string formula;  // "8030261248 parameters x 2 bytes"
};

bool IsQuantised(ElementType type);  // fp8, int8, int4
bool IsMatrix(TensorRole role);      // what quantised formats quantise
Bytes MatrixBytes(ElementType type, int64_t rows, int64_t columns);  // one, with its scales

WeightBytes WeightBytesOf(const ModelConfig& model, ElementType type);

}  // namespace plimsoll
