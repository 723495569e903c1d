// Writes a model folder whose matrices are int8 or int4, in the layout that compressed-tensors
// calls pack-quantized (packed_source.h), from one in fp32, fp16 or bf16.
//
// int8 has one scale a row and int4 a scale and a zero point for each row and group of 128, rounded
// as quantise.h says: what is read back is what Weights::Load would have rounded to. Scales are
// fp16. Embedding, head, norms, biases and routers stay in 16 bits; files of text beside the
// weights (tokenisers and the like) are copied.
//
// Invariants: the folder appears whole or not at all.
//
// Threads: none; rounding uses the CPU's. Cost: reads and writes each byte once, and holds one
// matrix. Errors: InvalidArgument for a model that cannot be read or is quantised already, a type
// other than int8 and int4, or a target that is not empty; Internal when writing fails.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct QuantiseOptions {
  std::string model;   // a folder with config.json and safetensors
  ElementType type;    // int8 or int4
  std::string folder;  // must not exist, or be empty
  // Called now and then with what is written and what there is to write.
  std::function<void(Bytes written, Bytes total)> progress = nullptr;
};

// The bytes of the tensors written.
absl::StatusOr<Bytes> QuantiseCheckpoint(const QuantiseOptions& options);

}  // namespace plimsoll
