// Rotary position embedding: the angles by which each pair of dimensions turns at each position.
//
// Pair i of `rotated_dims` / 2 turns by position * frequency(i); without scaling the frequency is
// theta^(-2i / rotated_dims). Scaling slows pairs down so that a model can look further than it
// was trained to:
//   linear    every pair, by `factor`
//   dynamic   a larger theta, growing with the sequence, once it is longer than the original
//   llama3    slow pairs by `factor`, fast ones not, those between in proportion to their turns
//   yarn      the same with a linear ramp over pairs; cos and sin are multiplied as well
//   longrope  each pair by its own divisor, one list up to the original context, one beyond
//
// For dynamic and longrope, where the frequency depends on the length of the sequence, position p
// turns as in a sequence that ends at p. That is what a decoder with a cache does anyway, and it
// makes the result independent of how a prompt is cut into chunks.
//
// Threads: pure. Cost: O(positions * rotated_dims), once. Errors: none; the reader of config.json
// has checked the numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// Radians per position of each pair, in a sequence of `length` > 0 tokens.
std::vector<double> RotaryFrequencies(const RotaryConfig& config, Tokens length);

// Row p, of rotated_dims / 2 numbers, belongs to position p. Computed in double.
struct RotaryTable {
  std::vector<float> cos, sin;
};
RotaryTable RotaryTableFor(const RotaryConfig& config, Tokens positions);

}  // namespace plimsoll
