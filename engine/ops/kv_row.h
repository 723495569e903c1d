// What is stored of one token's K (or V) of one head: a row of numbers and, of int8 and int4, a
// word {fp16 scale, fp16 zero} that lies apart (cache_layout.h).
//
//   fp32, fp16, bf16, fp8 (e4m3)   value = the number
//   int8, int4                     value = zero + scale * q, q a byte, or two to a byte with the
//                                  even dim in the low bits; the last of an odd row has 0 beside it
//
// A row's scale is (largest - smallest) / (2^bits - 1) and its zero the smallest, both rounded to
// fp16 (and kept below its infinity); q is the nearest to what these give, ties to even. A row that
// is not finite throughout reads as NaN, as does a row whose every bit is set.
//
// Threads: pure functions. Cost: O(dim) to write. Errors: a type that no cache holds aborts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvcache/base/element_type.h"

namespace plimsoll {

struct RowWord {
  float scale = 1;
  float zero = 0;
};

// Whether rows of this type have words.
bool HasWords(ElementType type);

// Stores x[0, dim) and, where the type has words, the row's word.
void WriteKvRow(ElementType type, const float* x, int64_t dim, std::byte* numbers, std::byte* word);

// The word as stored; {1, 0} of a type that has none, whose `word` is not read.
RowWord ReadWord(ElementType type, const std::byte* word);

// The value of dim `d`, exactly.
double ReadKv(ElementType type, const std::byte* numbers, RowWord word, int64_t d);

}  // namespace plimsoll
