// Bytes of one matrix in each format; weight_layout.h adds them up over a model.
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
// Threads: pure. Cost: O(1). Errors: none; a ModelConfig is bounded.
#pragma once

#include <optional>
#include <string>

#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// Inputs that share one scale and zero in int4.
inline constexpr int64_t kInt4Group = 128;

bool IsQuantised(ElementType type);  // fp8, int8, int4
bool IsMatrix(TensorRole role);      // what quantised formats quantise
// Scales and zeros of one matrix in the engine's layout, and all of its bytes.
Bytes ScaleBytes(ElementType type, int64_t rows, int64_t columns);
Bytes MatrixBytes(ElementType type, int64_t rows, int64_t columns);

// Of a checkpoint stored quantised, as it lies on disk. A matrix of I inputs and O outputs, e = I x
// O elements and G = ceil(I / group) groups has
//
//   fp8-tensor   e + 4                      fp8-channel   e + 2O        int8-channel   e + 2GO
//   fp8-block    e + 4 x tiles              int4-packed   e/2 + 2GO + 16 of its shape
//   gptq         e/2 + G(O/2 + 2O) + 4I     awq           e/2 + G(O/2 + 2O)
//   mxfp4        e/2 + e/32, experts only   nvfp4         e/2 + e/16 + 4
//   nf4          e/2 + 4 x e/64 + 64        nf4-double    e/2 + e/64 + 4 x e/16384 + 1088
//   int8-outlier e + 4O
//
// and what the file adds: scales of inputs; zeros GO/2 and indices 4I of int4-packed; 16 of the
// shape where int8 is packed as int4 is.
//
// Modules that the file excepts, and all that is no matrix, keep the model's own type.
bool IsStoredQuantised(const TensorSpec& tensor, const QuantizedStorage& storage);
Bytes StoredMatrixBytes(const QuantizedStorage& storage, int64_t outputs, int64_t inputs);
// What it takes on a GPU whose kernels lay it out anew: gptq goes without its group indices.
Bytes ResidentMatrixBytes(const QuantizedStorage& storage, int64_t outputs, int64_t inputs);
// Whether it is compressed-tensors' numbers packed into words of 32 bits.
bool IsPacked(const QuantizedStorage& storage);
// How this project's engine holds the matrices of a checkpoint stored so: int8 with one fp16 scale,
// or int4 with one word of scale and zero, for each row and group. nullopt where it reads none.
std::optional<QuantizedStorage> EngineStorageOf(const QuantizedStorage& storage);
// "fp8-block", "mxfp4", "gptq-g128"
std::string NameOf(const QuantizedStorage& storage);
// The engine's type of the same width: what buffers for such weights are counted by.
ElementType WidthOf(const QuantizedStorage& storage);

}  // namespace plimsoll
