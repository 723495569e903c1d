#include "kvcache/sizing/training_placement.h"

#include <gtest/gtest.h>

#include "tests/kvcache/sizing/training_cases.h"

namespace plimsoll {
namespace {

constexpr int64_t kBillion = 1'000'000'000;

TrainingOptions Sharded(int stage, int64_t gpus, Offload offload = Offload::kNone) {
  TrainingOptions options = Training(TrainingMethod::kMixed);
  options.zero_stage = stage;
  options.gpus = gpus;
  options.offload = offload;
  return options;
}

TEST(Placement, WithoutZeroThereAreNoBuffersHostOrDisk) {
  const TrainingPlan plan = Planned(UsualShape(kBillion), Sharded(0, 4));
  EXPECT_EQ(plan.buffers_bytes, Bytes(0));
  EXPECT_FALSE(plan.host.has_value());
  EXPECT_FALSE(plan.nvme.has_value());
}

TEST(Placement, Zero2SplitsGradientsAndStatesAndHasTwoBuckets) {
  const TrainingPlan plan = Planned(UsualShape(kBillion), Sharded(2, 4));
  EXPECT_EQ(plan.weights_bytes, Bytes(2 * kBillion));
  EXPECT_EQ(plan.gradients_bytes, Bytes(kBillion / 2));
  EXPECT_EQ(plan.optimizer_bytes, Bytes(3 * kBillion));
  EXPECT_EQ(TermOf(plan, "gradient_bucket"), Bytes(kBillion));
  EXPECT_EQ(TermOf(plan, "gather_bucket"), Bytes(kBillion));
  EXPECT_EQ(plan.buffers_bytes, Bytes(2 * kBillion));
}

TEST(Placement, Zero3SplitsAllAndHasAWindowOfLiveWeights) {
  const TrainingPlan plan = Planned(UsualShape(10 * kBillion), Sharded(3, 8));
  EXPECT_EQ(plan.weights_bytes, Bytes(2'500'000'000));
  EXPECT_EQ(plan.gradients_bytes, Bytes(2'500'000'000));
  EXPECT_EQ(plan.optimizer_bytes, Bytes(15 * kBillion));
  EXPECT_EQ(TermOf(plan, "live_weights"), Bytes(2 * kBillion));
  EXPECT_EQ(TermOf(plan, "prefetched_weights"), Bytes(100'000'000));
  EXPECT_EQ(TermOf(plan, "gradient_bucket"), Bytes(kBillion));
}

TEST(Placement, NoBufferIsLargerThanWhatPassesThroughIt) {
  const TrainingPlan plan = Planned(UsualShape(1'000'000), Sharded(3, 8));
  EXPECT_EQ(plan.buffers_bytes, Bytes(2'000'000 + 2'000'000));
}

TEST(Placement, Zero3LeavesNormsWhole) {
  const TrainingPlan plan = Planned(Llama31(), Sharded(3, 8));
  EXPECT_EQ(TermOf(plan, "unpartitioned_weights"), Bytes(2 * 65 * 4096));
}

TEST(Placement, OffloadToTheCpuMovesGradientsAndStates) {
  const TrainingPlan plan = Planned(UsualShape(kBillion), Sharded(2, 4, Offload::kCpu));
  EXPECT_EQ(plan.weights_bytes, Bytes(2 * kBillion));
  EXPECT_EQ(plan.gradients_bytes + plan.optimizer_bytes, Bytes(0));
  EXPECT_EQ(plan.host->gradients, Bytes(kBillion));  // in fp32, as the optimizer there
  EXPECT_EQ(plan.host->optimizer, Bytes(3 * kBillion));
  EXPECT_EQ(plan.host->written_per_step, Bytes(kBillion / 2));
  EXPECT_EQ(plan.host->read_per_step, Bytes(kBillion / 2));
  EXPECT_EQ(plan.host->total(), Bytes(4 * kBillion));  // 16 bytes of a parameter over 4 GPUs
}

TEST(Placement, OneGpuCanOffloadWithoutZero) {
  const TrainingPlan plan = Planned(UsualShape(kBillion), Sharded(0, 1, Offload::kCpu));
  EXPECT_EQ(plan.host->total(), Bytes(16 * kBillion));
  EXPECT_EQ(plan.buffers_bytes, Bytes(kBillion));  // gradients on their way out
}

TEST(Placement, AtStage3WeightsLeaveTooAndComeOnceForEachPass) {
  TrainingOptions options = Sharded(3, 4, Offload::kCpu);
  const TrainingPlan plan = Planned(UsualShape(kBillion), options);
  EXPECT_EQ(plan.weights_bytes, Bytes(0));
  EXPECT_EQ(plan.host->weights, Bytes(kBillion / 2));
  EXPECT_EQ(plan.host->read_per_step, Bytes(kBillion));
  options.recompute = Recompute::kFull;
  EXPECT_EQ(Planned(UsualShape(kBillion), options).host->read_per_step, Bytes(3 * kBillion / 2));
}

TEST(Placement, OffloadToNvmeLeavesBuffersInHostMemory) {
  const TrainingPlan plan = Planned(UsualShape(16 * kBillion), Sharded(3, 4, Offload::kNvme));
  EXPECT_EQ(plan.nvme->weights, Bytes(6 * kBillion));  // a quarter of 32 GB, less 1e9 elements
  EXPECT_EQ(plan.nvme->gradients, Bytes(16 * kBillion));
  EXPECT_EQ(plan.nvme->optimizer, Bytes(48 * kBillion));
  EXPECT_EQ(plan.nvme->read_per_step, Bytes(64 * kBillion + 2 * 6 * kBillion));
  EXPECT_EQ(plan.nvme->written_per_step, Bytes(64 * kBillion + 6 * kBillion));
  EXPECT_EQ(plan.host->weights, Bytes(2 * kBillion));
  EXPECT_EQ(plan.host->buffers, Bytes(16 * kBillion + kBillion));
}

TEST(Placement, TermsOfHostAndDiskAddUpToThem) {
  for (const Offload offload : {Offload::kCpu, Offload::kNvme}) {
    for (int stage = 0; stage <= 3; ++stage) {
      const TrainingPlan plan = Planned(Llama31(), Sharded(stage, 2, offload));
      Bytes host, nvme;
      for (const TrainingTerm& term : plan.formulas) {
        if (term.group == TrainingGroup::kHost) host += term.bytes;
        if (term.group == TrainingGroup::kNvme) nvme += term.bytes;
      }
      EXPECT_EQ(host, plan.host->total());
      EXPECT_EQ(nvme, plan.nvme ? plan.nvme->total() : Bytes(0));
    }
  }
}

TEST(Placement, AdaptersAloneHaveGradientsAndStates) {
  TrainingOptions options = Sharded(3, 4);
  options.method = TrainingMethod::kLora;
  const TrainingPlan plan = Planned(Llama31(), options);
  const int64_t adapters = plan.trained_parameters;
  EXPECT_EQ(plan.weights_bytes, Bytes((2 * 8'030'261'248 + 4 * adapters) / 4));
  EXPECT_EQ(plan.gradients_bytes, Bytes(adapters));
  EXPECT_EQ(plan.optimizer_bytes, Bytes(2 * adapters));
}

}  // namespace
}  // namespace plimsoll
