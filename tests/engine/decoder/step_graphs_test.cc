// Steps that are captured once and launched again, on the emulator and on a GPU: beside a decoder
// that queues every operation, over lengths, block borders and batches that none of them was
// captured with.
#include "engine/decoder/step_graphs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/ops/sampler.h"
#include "tests/emulator/emulated_module.h"
#include "tests/engine/decoder/cuda_shapes.h"
#include "tests/engine/ops/device_problem.h"

namespace plimsoll {
namespace {

using emulator::CallsOfEmulatedModule;
using emulator::EmulatedCalls;
using testing::ElementsAre;

TEST(StepGraphs, BucketsDoubleUpToTheMost) {
  EXPECT_THAT(StepGraphs::BucketsUpTo(0), ElementsAre());
  EXPECT_THAT(StepGraphs::BucketsUpTo(1), ElementsAre(1));
  EXPECT_THAT(StepGraphs::BucketsUpTo(8), ElementsAre(1, 2, 4, 8));
  EXPECT_THAT(StepGraphs::BucketsUpTo(11), ElementsAre(1, 2, 4, 8, 11));
}

// A sequence as one engine runs it.
struct Runner {
  SequenceId id;
  uint64_t seed;
  std::vector<int32_t> next;  // what is to be computed
  DrawnToken drawn = {};
  uint64_t draws = 0;
};

// An engine and what runs on it.
class Batch {
 public:
  Batch(const TinyModel& model, const DeviceBackend& device, ElementType kv, int64_t graph_rows)
      : engine(model, device.ops(), OptionsFor(kv, graph_rows), device) {}

  void Start(std::vector<int32_t> prompt) {
    runners.push_back({.id = engine.Begin(), .seed = ++started, .next = std::move(prompt)});
  }
  void End(size_t which) {
    engine.cache->End(runners[which].id);
    runners.erase(runners.begin() + static_cast<ptrdiff_t>(which));
  }

  // One step of all that run; leaves the tokens drawn as what is to be computed next.
  Drawn Step(bool all_logits) {
    std::vector<BatchEntry> batch;
    for (Runner& runner : runners) {
      BatchEntry entry = engine.Append(runner.id, runner.next, all_logits);
      entry.draw = DrawOf({.temperature = 0.9, .seed = runner.seed, .step = runner.draws++});
      entry.drawn = runner.drawn;
      batch.push_back(entry);
    }
    const absl::StatusOr<Drawn> drawn = engine.decoder->ForwardAndDraw(batch);
    PLIMSOLL_CHECK(drawn.ok(), drawn.status());
    for (size_t i = 0; i < runners.size(); ++i) {
      runners[i].drawn = drawn->tokens[i];
      runners[i].next = {drawn->tokens[i].token};
    }
    return *drawn;
  }

  TinyEngine engine;
  std::vector<Runner> runners;
  uint64_t started = 0;

 private:
  static TinyEngine::Options OptionsFor(ElementType kv, int64_t graph_rows) {
    return {
        .kv = kv,
        .block_tokens = Tokens(16),
        .blocks = Blocks(32),
        .decoder = {
            .max_batched_tokens = Tokens(64), .max_logit_rows = 64, .max_graph_rows = graph_rows}};
  }
};

std::vector<int32_t> Prompt(int64_t count, int32_t step) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back(i * step % 101);
  return tokens;
}

std::vector<int32_t> Ids(const Drawn& drawn) {
  std::vector<int32_t> ids;
  for (const DrawnToken& token : drawn.tokens) ids.push_back(token.token);
  return ids;
}

class StepGraphsOn : public testing::TestWithParam<KernelDevice> {
 protected:
  void SetUp() override {
    if (GetParam().seed != 0) emulator::SetSeed(GetParam().seed);
  }
  const DeviceBackend& device() const { return *GetParam().backend; }
  bool emulated() const { return GetParam().seed != 0; }

  // Both draw the same from logits that are the same; on a GPU, whose library may multiply another
  // number of rows in another order, almost the same, and then what the first drew goes on.
  void StepBoth(Batch& captured, Batch& queued) {
    const Drawn one = captured.Step(/*all_logits=*/true);
    const std::vector<float> logits(one.logits.begin(), one.logits.end());
    const std::vector<int32_t> ids = Ids(one);
    const Drawn other = queued.Step(/*all_logits=*/true);
    EXPECT_LT(RelativeError(logits, other.logits), emulated() ? 1e-9 : 5e-3);
    if (emulated()) {
      EXPECT_EQ(ids, Ids(other));
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      queued.runners[i].next = {ids[i]};
      if (!emulated()) queued.runners[i].drawn = {};
    }
  }

  void ExpectTheSameSteps(const TinyModel& model, ElementType kv, int steps) {
    ASSERT_TRUE(model.weights->MoveTo(device()).ok());
    Batch captured(model, device(), kv, /*graph_rows=*/6);
    Batch queued(model, device(), kv, /*graph_rows=*/0);
    for (int step = 0; step < steps && !HasFailure(); ++step) {
      SCOPED_TRACE(step);
      for (Batch* batch : {&captured, &queued}) {
        if (step % 7 == 0 && batch->runners.size() < 6) batch->Start(Prompt(3 + step, 5 + step));
        if (step % 11 == 10) batch->End(static_cast<size_t>(step) % batch->runners.size());
      }
      StepBoth(captured, queued);
    }
  }
};

// From one sequence to five and back, from 3 tokens to 43, over three blocks.
TEST_P(StepGraphsOn, AStepThatIsLaunchedIsTheStepThatIsQueued) {
  TinyShape shape = CudaShape();
  shape.layers = 1;
  ExpectTheSameSteps(TinyModel(shape), ElementType::kBf16, 41);
}

TEST_P(StepGraphsOn, SoItIsWithSeveralPlansOfAttention) {
  ExpectTheSameSteps(TinyModel(GemmaShape(), ElementType::kInt8), ElementType::kInt8, 12);
}

TEST_P(StepGraphsOn, SoItIsWithExperts) {
  ExpectTheSameSteps(TinyModel(MixtralShape()), ElementType::kFp16, 9);
}

// What the host says a token is counts only where the device has not drawn it in the pass before.
TEST_P(StepGraphsOn, ATokenThatWasDrawnIsReadOnTheDevice) {
  const TinyModel model(CudaShape());
  ASSERT_TRUE(model.weights->MoveTo(device()).ok());
  for (const int64_t graph_rows : {0, 2}) {
    Batch right(model, device(), ElementType::kBf16, graph_rows);
    Batch misled(model, device(), ElementType::kBf16, graph_rows);
    for (Batch* batch : {&right, &misled}) {
      batch->Start({1, 2, 3});
      batch->Step(/*all_logits=*/false);
    }
    misled.runners[0].next = {100 - right.runners[0].next[0]};
    const std::vector<int32_t> want = Ids(right.Step(/*all_logits=*/false));
    EXPECT_EQ(Ids(misled.Step(/*all_logits=*/false)), want) << graph_rows;
    right.runners[0].drawn.pass -= 1;  // one that was overwritten meanwhile
    right.runners[0].drawn.row = 1;
    misled.runners[0].drawn = {};
    EXPECT_EQ(Ids(right.Step(/*all_logits=*/false)), Ids(misled.Step(/*all_logits=*/false)));
  }
}

// On the emulator, which counts: a step is one copy there, one launch, and four bytes a sequence
// back.
TEST(StepGraphs, AStepIsOneCopyOneLaunchAndATokenEach) {
  const DeviceBackend& device = *KernelDevices().front().backend;
  const TinyModel model(CudaShape());
  ASSERT_TRUE(model.weights->MoveTo(device).ok());
  const EmulatedCalls before = CallsOfEmulatedModule();
  Batch batch(model, device, ElementType::kBf16, /*graph_rows=*/4);
  EXPECT_EQ(CallsOfEmulatedModule().graphs_captured - before.graphs_captured, 3);
  for (int32_t i = 0; i < 3; ++i) batch.Start({1, 2, i});
  batch.Step(/*all_logits=*/false);
  const EmulatedCalls then = CallsOfEmulatedModule();
  EXPECT_EQ(then.graphs_launched, before.graphs_launched);  // prompts are queued
  for (int step = 0; step < 5; ++step) batch.Step(/*all_logits=*/false);
  const EmulatedCalls after = CallsOfEmulatedModule();
  EXPECT_EQ(after.graphs_launched - then.graphs_launched, 5);
  EXPECT_EQ(after.graphs_captured, then.graphs_captured);
  EXPECT_EQ(after.allocations, then.allocations);
  EXPECT_EQ(after.copies_to_device - then.copies_to_device, 5);
  EXPECT_EQ(after.copies_to_host - then.copies_to_host, 5);
  EXPECT_EQ(after.bytes_to_host - then.bytes_to_host, 5 * 3 * 4);
}

// In one order of threads: the kernels' own tests see to the others.
std::vector<KernelDevice> OneOfEach() {
  std::vector<KernelDevice> devices = KernelDevices();
  std::erase_if(devices, [](const KernelDevice& device) { return device.seed > 1; });
  return devices;
}

INSTANTIATE_TEST_SUITE_P(All, StepGraphsOn, testing::ValuesIn(OneOfEach()), DeviceName);

}  // namespace
}  // namespace plimsoll
