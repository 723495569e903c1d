// Each primitive on random words against what it should be, by definitions of their own: the same
// kernel and words that a GPU is given.
#include "tests/emulator/primitives.cuh"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/emulator/primitive_cases.h"

namespace plimsoll {
namespace {

using Words = std::vector<uint32_t>;

Words Apply(Primitive primitive, const Words& in) {
  struct alignas(16) Aligned {
    uint32_t words[kPrimitiveWordsIn];
  };
  Aligned aligned;
  std::copy(in.begin(), in.end(), aligned.words);
  Words out(kPrimitiveWordsOut);
  simt::Launch(&ApplyPrimitive<uint32_t>, {.threads = 32, .shared_bytes = kPrimitiveSharedBytes},
               nullptr, primitive, static_cast<const uint32_t*>(aligned.words), out.data());
  return out;
}

class EveryPrimitive : public testing::TestWithParam<Primitive> {};

TEST_P(EveryPrimitive, AgreesWithItsDefinition) {
  const auto seed = static_cast<uint32_t>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(testing::Message() << "rerun with --gtest_random_seed=" << seed);
  std::mt19937 rng(seed);
  for (int round = 0; round < 20; ++round) {
    const Words in = RandomOperands(GetParam(), rng);
    ExpectPrimitive(GetParam(), in, Apply(GetParam(), in));
  }
}

INSTANTIATE_TEST_SUITE_P(Simt, EveryPrimitive, testing::ValuesIn(kPrimitives), PrimitiveName);

}  // namespace
}  // namespace plimsoll
