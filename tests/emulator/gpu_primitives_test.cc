// Each primitive on a GPU, by the words and the definitions that the emulator is judged by: whether
// the layouts and roundings of simt.cuh are the hardware's. The first thing to run on a new GPU.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/emulator/primitive_cases.h"

namespace plimsoll {
namespace {

template <class Function>
Function Symbol(const char* name) {
  static void* const library = dlopen(PLIMSOLL_PRIMITIVES, RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(library, nullptr) << dlerror();
  if (library == nullptr) return nullptr;
  return reinterpret_cast<Function>(dlsym(library, name));
}

class GpuPrimitive : public testing::TestWithParam<Primitive> {};

TEST_P(GpuPrimitive, DoesWhatTheEmulatorDoes) {
  const auto architecture_of = Symbol<int (*)()>("plimsoll_gpu_architecture");
  const auto apply = Symbol<int (*)(int, const uint32_t*, uint32_t*)>("plimsoll_apply_primitive");
  ASSERT_TRUE(architecture_of != nullptr && apply != nullptr);
  const int architecture = architecture_of();
  if (architecture < 0) GTEST_SKIP() << "no GPU: CUDA error " << -architecture;
  if (architecture < 80 && GetParam() == Primitive::kMultiplyBf16) GTEST_SKIP() << "sm_75: no bf16";
  const auto seed = static_cast<uint32_t>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(testing::Message() << "rerun with --gtest_random_seed=" << seed);
  std::mt19937 rng(seed);
  for (int round = 0; round < 50; ++round) {
    const std::vector<uint32_t> in = RandomOperands(GetParam(), rng);
    std::vector<uint32_t> out(kPrimitiveWordsOut);
    ASSERT_EQ(apply(static_cast<int>(GetParam()), in.data(), out.data()), 0);
    ExpectPrimitive(GetParam(), in, out);
  }
}

INSTANTIATE_TEST_SUITE_P(Simt, GpuPrimitive, testing::ValuesIn(kPrimitives), PrimitiveName);

}  // namespace
}  // namespace plimsoll
