// One element of a weight, whatever its storage; ops.h has the layouts of quantised ones.
//
// Threads: pure. Cost: a few instructions an element. Errors: a type that no weight has aborts.
#pragma once

#include <cstdint>

#include "engine/ops/ops.h"

namespace plimsoll {

// Whether columns can share a scale by groups of this many: a power of two from 32 to 2048, or the
// whole row. Kernels count on it to take whole vectors of one group.
bool IsWeightGroup(int64_t group, int64_t cols);

// Groups of one row; 1 where the whole row is one.
int64_t GroupsOf(const WeightView& weight);
// Bytes of the rows, and of the scales, of an int8 or int4 weight. Rows are whole bytes.
int64_t RowBytesOf(const WeightView& weight);
int64_t ScaleBytesOf(const WeightView& weight);

// Exact: the product of a scale and a small integer fits a double.
double WeightElement(const WeightView& weight, int64_t row, int64_t col);

}  // namespace plimsoll
