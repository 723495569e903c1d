// How one number is stored, and the names people type for it.
//
// Threads: pure functions. Cost: a table look-up. Errors: an unknown name is nullopt.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "kvcache/base/units.h"

namespace plimsoll {

enum class ElementType : uint8_t {
  kFp32,
  kTf32,  // a way to multiply: stored in 4 bytes like fp32
  kFp16,
  kBf16,
  kFp8,  // e4m3
  kInt8,
  kInt4,  // two to a byte
};

// Bits of one element in memory, without scales: 32, 32, 16, 16, 8, 8, 4.
int BitsOf(ElementType type);

// "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "int4".
std::string_view NameOf(ElementType type);

// Accepts the names above and Hugging Face's spellings: "float32", "float16", "half", "bfloat16",
// "float", with or without a leading "torch.".
std::optional<ElementType> ElementTypeFromName(std::string_view name);

// Bytes of `elements` numbers stored side by side; an odd int4 count rounds up.
Bytes BytesOf(ElementType type, int64_t elements);

}  // namespace plimsoll
