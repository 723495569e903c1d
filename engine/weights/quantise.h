// Rounds rows of a matrix to int8 or int4, to the nearest; WeightView has the layouts.
//
//   int8   scale = max |w| / 127               q = round(w / scale)
//   int4   scale = (max - min) / 15            zero = round(-min / scale)
//          with min <= 0 <= max                q = round(w / scale) + zero
//
// over each group of columns. The scale is rounded to fp16 first and the rest computed from that;
// q and zero are clamped to what they can hold, and ties go to even. Zero is an integer, so that
// 0 stays 0 and other programs' formats can hold it.
//
// Threads: pure. Cost: two passes over the row. Errors: a row with a number that is not finite, or
// whose scale exceeds fp16, is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kvcache/base/element_type.h"

namespace plimsoll {

// Writes the row's BytesOf(type, columns) bytes, and one fp16 (int8) or two (int4: scale, zero) for
// each group. False, with part of them written, for a row that is refused.
bool QuantiseRow(ElementType type, int64_t group, std::span<const float> row, std::byte* out,
                 std::byte* scales);

}  // namespace plimsoll
