// How many steps a random test takes: as many as it says itself, or PLIMSOLL_STEPS.
//
// Threads: any. Cost: none. Errors: a PLIMSOLL_STEPS that is no positive number aborts.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "kvcache/base/check.h"

namespace plimsoll {

inline int64_t StepsOr(int64_t usual) {
  const char* const text = std::getenv("PLIMSOLL_STEPS");
  if (text == nullptr) return usual;
  char* end = nullptr;
  const int64_t steps = std::strtoll(text, &end, 10);
  PLIMSOLL_CHECK(*end == '\0' && steps > 0, text);
  return steps;
}

}  // namespace plimsoll
