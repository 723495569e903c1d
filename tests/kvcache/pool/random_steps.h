// How many steps a random test takes: as many as it says itself, or PLIMSOLL_STEPS. And the loop of
// those that have a model beside them.
//
// Threads: any. Cost: none. Errors: a PLIMSOLL_STEPS that is no positive number aborts.
#pragma once

#include <gtest/gtest.h>

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

// Takes so many steps of a structure and a model of it, and compares the two after each.
template <class Both>
void StepAndCompare(Both& both, int64_t steps) {
  for (int64_t step = 0; step < steps; ++step) {
    both.Step();
    both.Compare();
    ASSERT_FALSE(testing::Test::HasFailure()) << "step " << step;
  }
}

}  // namespace plimsoll
