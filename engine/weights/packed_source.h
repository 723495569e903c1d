// Matrices that a checkpoint holds quantised already, and how they become the engine's: the same
// numbers and scales in another order, once, when they are loaded.
//
//   compressed-tensors   X.weight_packed      I32 [out, in / 8] (4 bits), [out, in / 4] (8 bits)
//   (pack-quantized)     X.weight_scale       [out, groups] or [out, 1], fp32, fp16 or bf16
//                        X.weight_zero_point  I32 [out / 8, groups], where there are zeros
//   gptq                 X.qweight            I32 [in / 8, out]
//                        X.qzeros             I32 [groups, out / 8]
//                        X.scales             [groups, out]
//                        X.g_idx              I32 [in], where it is there: i / group
//   awq                  X.qweight            I32 [in, out / 8]
//                        X.qzeros, X.scales   as gptq's
//
// A word holds 8 numbers of 4 bits, or 4 of 8, the first in the low bits; awq puts outputs 0, 2, 4,
// 6, 1, 3, 5, 7 in that order. Numbers are unsigned: compressed-tensors adds 8 or 128 to its signed
// ones, and to zeros alike; gptq stores one less than a zero, but for its variant "gptq_v2".
//
// How many inputs share a scale follows from the shape of the scales, and is what config.json says.
// Scales are rounded to fp16. Inputs in another order than the groups' (act-order) are refused.
//
// Threads: reading is safe from any. Cost: Fill reads each byte once, a few MiB at a time, on the
// CPU's threads. Errors: InvalidArgument naming the part and what is wrong with it; Unimplemented
// for what is sound and cannot be read.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/weights/checkpoint.h"
#include "engine/weights/tensor_source.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// OK, or Unimplemented when the model is stored in a way that is not among the above.
absl::Status CheckStorage(const ModelConfig& model);

// Whether the matrix `name` is there in parts.
bool IsInParts(const Checkpoint& checkpoint, const std::string& name);
absl::StatusOr<TensorSource> FindParts(const Checkpoint& checkpoint, const ModelConfig& model,
                                       const std::string& name, const TensorSpec& spec);
absl::Status FillFromParts(const Checkpoint& checkpoint, const TensorSource& source,
                           std::byte* data, std::byte* scales);

}  // namespace plimsoll
