// Swapping over CUDA's kernels, on the emulator and on a GPU.
#include <gtest/gtest.h>

#include "tests/engine/loop/swap_stack.h"
#include "tests/engine/ops/device_problem.h"

namespace plimsoll {
namespace {

const TinyModel& ModelOn(const DeviceBackend& device) {
  static const TinyModel& model = *[&] {
    TinyShape shape;
    shape.layers = 1;
    shape.hidden = 64;
    shape.intermediate = 64;
    shape.heads = 2;
    shape.kv_heads = 1;
    shape.head_dim = 64;
    shape.dtype = "float16";
    auto* const made = new TinyModel(shape);
    PLIMSOLL_CHECK(made->weights->MoveTo(device).ok());
    return made;
  }();
  return model;
}

SwapStack::Shape ShapeOf(int64_t blocks, int64_t swap_blocks) {
  return {.engine = {.kv = ElementType::kInt8,
                     .block_tokens = Tokens(16),
                     .blocks = Blocks(blocks),
                     .decoder = {.max_batched_tokens = Tokens(32), .max_logit_rows = 2}},
          .swap_blocks = swap_blocks};
}

class CudaSwap : public testing::TestWithParam<KernelDevice> {};

// Three blocks of 16: both hold one until they have 16 tokens, the first takes the third, and the
// second stops for the rest of the first.
TEST_P(CudaSwap, WhoStopsIsKeptAndSaysTheSame) {
  if (GetParam().seed != 0) emulator::SetSeed(GetParam().seed);
  const DeviceBackend& device = *GetParam().backend;
  const std::vector<int32_t> a(14, 7), b(15, 3);
  const auto tokens_of = [&](int64_t blocks, int64_t swap_blocks, LoopStats& stats) {
    SwapStack stack(ShapeOf(blocks, swap_blocks), ModelOn(device), device.ops(), device);
    const auto first = std::make_shared<Collector>(), second = std::make_shared<Collector>();
    EXPECT_TRUE(stack.Submit(Request(a, 5), first).ok());
    EXPECT_TRUE(stack.Submit(Request(b, 6), second).ok());
    stack.RunAll();
    stats = stack.loop->Stats();
    stack.ExpectEmpty();
    return std::pair(first->tokens, second->tokens);
  };
  LoopStats undisturbed, swapped;
  const auto want = tokens_of(8, 1, undisturbed);
  EXPECT_EQ(undisturbed.preempted, 0);
  EXPECT_EQ(want.first.size(), 5u);
  EXPECT_EQ(want.second.size(), 6u);
  EXPECT_EQ(tokens_of(3, 4, swapped), want);
  EXPECT_EQ(swapped.swapped_out, 1);
  EXPECT_EQ(swapped.swapped_in, 1);
  EXPECT_EQ(swapped.recomputed_tokens, 0);
}

INSTANTIATE_TEST_SUITE_P(All, CudaSwap, testing::ValuesIn(KernelDevices()), DeviceName);

}  // namespace
}  // namespace plimsoll
