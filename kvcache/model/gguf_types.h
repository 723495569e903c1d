// The types that tensors of a GGUF file have: blocks of so many elements in so many bytes.
//
// Ids and sizes are those of ggml. Types that ggml only computes with and never stores (Q8_1, Q8_K)
// and those that it took back are not here.
//
// Threads: pure functions. Cost: a look at a table of some thirty rows. Errors: nullptr, nullopt.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kvcache/base/units.h"

namespace plimsoll {

struct GgufType {
  uint32_t id;            // as the file's table of tensors says it
  std::string_view name;  // "Q4_K"
  int64_t block_elements;
  int64_t block_bytes;
};

std::span<const GgufType> AllGgufTypes();  // by id
const GgufType* GgufTypeOf(uint32_t id);
const GgufType* GgufTypeNamed(std::string_view name);  // in upper or lower case

// Bytes of so many elements that lie in rows of `row` each. Nullopt where a row ends inside a block
// (ggml lays out no such tensor) and where the sum exceeds int64_t. `row` > 0 divides `elements`.
std::optional<Bytes> GgufBytes(const GgufType& type, int64_t elements, int64_t row);

}  // namespace plimsoll
