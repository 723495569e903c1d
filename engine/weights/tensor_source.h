// How a checkpoint holds one tensor of a model, and how it will lie in memory.
//
// A tensor of the configuration is found under its own name, as fp32, fp16 or bf16 and in exactly
// its shape. It is kept as it is, or rounded: to int8 or int4 where it is a matrix that the
// planner's formats quantise (IsMatrix), and to 16 bits where it is any other of more. A matrix
// that is quantised already is found in parts and keeps its numbers.
//
// Threads: values, and reading is safe from any. Cost: Find is O(log tensors); Fill reads each byte
// once, a few MiB at a time, on the CPU's threads. Errors: InvalidArgument naming what is wrong
// with the tensor; those of reading.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/ops/ops.h"
#include "engine/weights/checkpoint.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// How the numbers of a quantised matrix lie in the file; packed_source.h has the layouts.
enum class Packing : uint8_t { kNone, kRows, kGptq, kAwq };

struct TensorSource {
  std::string name;                         // in the checkpoint; of a packed matrix, its module's
  ElementType stored = ElementType::kFp32;  // fp32, fp16 or bf16; where packed, nothing
  WeightView resident = {};                 // without data and scales
  Packing packing = Packing::kNone;
  bool has_zeros = false;       // of a packed one: a zero point for each scale
  bool zeros_less_one = false;  // gptq's first convention

  Bytes DataBytes() const;   // of the resident form
  Bytes ScaleBytes() const;  // 0 where it has no scales
};

// `quantised` is int8, int4 or nothing: as stored.
absl::StatusOr<TensorSource> FindTensor(const Checkpoint& checkpoint, const ModelConfig& model,
                                        const std::string& name, const TensorSpec& spec,
                                        const std::optional<ElementType>& quantised);

// Writes the tensor's DataBytes and ScaleBytes.
absl::Status FillTensor(const Checkpoint& checkpoint, const TensorSource& source, std::byte* data,
                        std::byte* scales);

}  // namespace plimsoll
