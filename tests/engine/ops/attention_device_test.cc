// Attention through the CUDA module's table, on the emulator and, where there is one, on a GPU: the
// same cases, and memory of the device.
#include <gtest/gtest.h>

#include "tests/engine/ops/attention_problem.h"
#include "tests/engine/ops/device_problem.h"

namespace plimsoll {
namespace {

constexpr ElementType kTypes[] = {ElementType::kFp16, ElementType::kBf16, ElementType::kFp8,
                                  ElementType::kInt8, ElementType::kInt4};

class DeviceAttention : public OnDevice {
 protected:
  // The call of `run` with all its memory on the device.
  std::vector<float> Attend(AttentionRun& run, int64_t head_dim) {
    const cuda::AttentionPlan& plan = run.Plan();
    std::vector<RowPlace> places = run.places();
    for (size_t i = 0; i < places.size(); ++i) {
      places[i].table = Put(run.pool().table(run.sequences()[i]));
    }
    float* const out = Put(std::vector<float>(run.q().size(), NAN));
    AttentionArgs args = run.Args(out);
    args.q = Put(run.q());
    args.places = Put(places);
    args.cache.pool = Put(run.pool().bytes());
    if (args.sinks != nullptr) args.sinks = Put(run.sinks());
    const int64_t partials = std::max<int64_t>(plan.partials, 1) * args.heads;
    args.work = {.items = Put(plan.items),
                 .item_count = static_cast<int32_t>(plan.items.size()),
                 .chunks = Put(plan.chunks),
                 .chunk_count = static_cast<int32_t>(plan.chunks.size()),
                 .splits = Put(plan.splits),
                 .split_count = static_cast<int32_t>(plan.splits.size()),
                 .partial_sums = Take<float>(partials * head_dim),
                 .partial_weights = Take<float>(partials * 2)};
    EXPECT_TRUE(ops().attention(args).ok());
    return Get(out, std::ssize(run.q()));
  }

  void ExpectAgrees(const AttentionProblem& problem, std::mt19937& rng) {
    AttentionRun run(problem, rng);
    const double tolerance = problem.shape.type == ElementType::kFp16   ? 3e-4
                             : problem.shape.type == ElementType::kBf16 ? 2.4e-3
                                                                        : 1e-3;
    EXPECT_LT(RelativeDistance(Attend(run, problem.shape.head_dim), run.Reference()), tolerance);
  }
};

TEST_P(DeviceAttention, AgreesForEveryTypeAndWidth) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kTypes) {
    for (const int64_t dim : {64, 80, 96, 128, 256}) {
      SCOPED_TRACE(testing::Message() << NameOf(type) << " " << dim);
      ExpectAgrees({.shape = {type, 2, dim, 16}, .group = 4, .lengths = {1, 17, 120}}, rng);
    }
  }
}

TEST_P(DeviceAttention, AgreesWhereItIsSplitWindowedAndCapped) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kTypes) {
    for (const int64_t group : {1, 8, 16, 20}) {
      SCOPED_TRACE(testing::Message() << NameOf(type) << " " << group);
      ExpectAgrees({.shape = {type, 1, 128, 32},
                    .group = group,
                    .lengths = {40, 64, 300},
                    .rows_of_each = 2,
                    .window = 150,
                    .softcap = 5,
                    .sinks = true,
                    .blocks_at_once = 9,
                    .spare_items = 2},
                   rng);
    }
  }
}

// Chunks of prompts beside rows that decode, split and not.
TEST_P(DeviceAttention, AgreesForChunksOfEveryTypeAndWidth) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kTypes) {
    for (const int64_t dim : {64, 80, 96, 128, 256}) {
      SCOPED_TRACE(testing::Message() << NameOf(type) << " " << dim);
      ExpectAgrees({.shape = {type, 1, dim, 16},
                    .group = 4,
                    .lengths = {1, 2, 75},
                    .rows_of_each = 18,
                    .chunks = true,
                    .chunks_at_once = dim == 128 ? 8 : 1},
                   rng);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, DeviceAttention, testing::ValuesIn(KernelDevices()), DeviceName);

}  // namespace
}  // namespace plimsoll
