// What tests tell OutputLengths and ask of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvcache/admission/output_lengths.h"

namespace plimsoll {

// A request that has generated `age` tokens generates one more.
inline void Generate(OutputLengths& lengths, int64_t age) {
  const int bin = OutputLengths::BinOf(age);
  if (OutputLengths::StartOf(bin) == age) lengths.Entered(bin);
}

// The share of those of that age who are still there at the horizon.
inline double StillThere(const OutputLengths& lengths, int64_t age, size_t horizon) {
  return lengths.Survivors(OutputLengths::BinOf(age))[horizon];
}

}  // namespace plimsoll
