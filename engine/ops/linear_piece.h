// The work of one linear, cut up: pieces that threads take, each a strip of outputs for a block of
// rows. Plain weights are linear_cpu.cc's, quantised ones linear_quantised_cpu.cc's.
//
// Threads: pieces write different outputs, so any number at once. Cost: as those files say.
// Errors: none; arguments were checked.
#pragma once

#include <cstdint>

#include "engine/ops/ops.h"

namespace plimsoll {

struct LinearPiece {
  int64_t row_begin, row_end;
  int64_t output_begin, output_end;
};

// Rows that a piece of a quantised linear has at most.
inline constexpr int64_t kQuantisedRowBlock = 12;

namespace cpu {

using AddLinearPiece = void (*)(const LinearArgs&, const LinearPiece&);
// For the machine at hand: adds the products to what stands in `out`.
AddLinearPiece AddQuantisedPiece();

}  // namespace cpu
}  // namespace plimsoll
