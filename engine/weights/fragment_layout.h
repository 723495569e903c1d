// Quantised matrices as a GPU's matrix unit reads them: the 16 bytes that a lane of a warp loads at
// once are operands of its own, with nothing to move between lanes.
//
// Rows are in tiles of 16, columns in blocks of 64 (int4) or 32 (int8):
//
//   int4    [rows / 16][cols / 64][32 lanes][16 bytes]
//   int8    [rows / 16][cols / 32][32 lanes][16 bytes]
//   scales  [rows / 16][groups][16 rows]
//
// Lane 4 g + t has, for the operand A of m16n8k16, rows g and g + 8 of the tile and a run of
// columns of the block: 16 t to 16 t + 15 (int4) or 8 t to 8 t + 7 (int8), four to each step of 16
// columns. Register r of the step has row g + 8 (r % 2) and the columns 2 (r / 2) and the one
// after it. The order of columns is not the operand's own, which does not matter as long as x is
// read in the same one: a lane's part of x is then one piece, too.
//
//   int4  step s is 32-bit word s; register r, column c (0 or 1) is the nibble at bit 4 r + 16 c
//   int8  step s is words 2 s and 2 s + 1; register r, column c is byte 2 r + c, as q + 128
//
// A scale of int8 is one fp16; of int4 a word of {scale, 1024 + zero}, the zero as what fp16 makes
// of a number in the mantissa of 1024.
//
// Invariants: as many bytes as before, data and scales alike.
//
// Threads: pure. Cost: a few instructions an element. Errors: a matrix without fragments, and a
// zero that is no integer from 0 to 1023, abort.
#pragma once

#include <cstddef>

#include "engine/ops/ops.h"

namespace plimsoll {

// Whether the matrix can be laid out so: int8 or int4, in whole tiles and blocks.
bool HasFragments(const WeightView& weight);

// Writes the row-major `weight` to `data` and `scales`, which have RowBytesOf * rows and
// ScaleBytesOf bytes and do not overlap it. Tiles lie one after the other, so 16 rows can be done
// at a time.
void ToFragments(const WeightView& weight, std::byte* data, std::byte* scales);

}  // namespace plimsoll
