#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/engine/loop/tiny_loop.h"
#include "tests/engine/support/count_allocations.h"

namespace plimsoll {
namespace {

TinyShape WithExperts() {
  return {.architecture = "MixtralForCausalLM",
          .more = R"(, "num_local_experts": 4, "num_experts_per_tok": 2)"};
}

// With the fast operations: those that judge them may take what they like. With so many blocks and
// reservations that a build with debug checks, which takes memory to check all of them, checks the
// counters alone.
void ExpectNoAllocationsInSteps(const TinyModel& model) {
  Stack stack({.blocks = Blocks(400)}, {}, model, CpuOps());
  for (int i = 0; i < 100; ++i) stack.Reserve(1, 1);
  std::vector<std::shared_ptr<Collector>> listeners;
  for (int i = 0; i < 3; ++i) {
    listeners.push_back(std::make_shared<Collector>());
    GenerationRequest request = Request({1, 2, 3, 4, 5}, 30);
    if (i == 2) request.sampling = {.temperature = 0.8, .top_k = 10, .top_p = 0.9, .seed = 3};
    ASSERT_TRUE(stack.Submit(request, listeners.back()).ok());
  }
  stack.loop->Step();
  const int64_t before = AllocationsOfThisThread();
  for (int i = 0; i < 20; ++i) stack.loop->Step();
  EXPECT_EQ(AllocationsOfThisThread(), before);
  EXPECT_EQ(listeners[0]->tokens.size(), 21u);
}

TEST(GenerationLoop, AStepTakesNothingFromTheHeap) { ExpectNoAllocationsInSteps(Model()); }

TEST(GenerationLoop, AStepOfExpertsTakesNothingFromTheHeap) {
  const TinyModel model(WithExperts());
  ExpectNoAllocationsInSteps(model);
}

}  // namespace
}  // namespace plimsoll
