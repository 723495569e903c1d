// A whole engine over CUDA's kernels, on the emulator and on a GPU: what it takes of the device,
// and a pool that changes its size while sequences that stopped are kept in the host's memory.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/engine/ops/device_problem.h"
#include "tests/engine/support/engine_run.h"

namespace plimsoll {
namespace {

const TinyModel& HalfModel() {
  static const TinyModel& model = *[] {
    TinyShape shape;
    shape.layers = 1;
    shape.hidden = 64;
    shape.intermediate = 64;
    shape.heads = 2;
    shape.kv_heads = 1;
    shape.head_dim = 64;
    shape.dtype = "float16";
    return new TinyModel(shape);
  }();
  return model;
}

EngineOptions OptionsOn(const DeviceBackend& device, int64_t blocks) {
  return {.model_path = HalfModel().folder(),
          .backend = &device,
          .blocks = Blocks(blocks),
          .max_blocks = Blocks(64),
          .swap = Bytes(1 << 20),
          .loop = {.max_batched_tokens = Tokens(32), .max_sequences = 2},
          .admission = {.epoch = "e", .policy = {.policy = Policy::kWatermark, .watermark = 0}},
          .poison_pool = true};
}

class CudaEngine : public testing::TestWithParam<KernelDevice> {
 protected:
  void SetUp() override {
    if (GetParam().seed != 0) emulator::SetSeed(GetParam().seed);
  }
  const DeviceBackend& device() const { return *GetParam().backend; }
  SystemClock clock_;
};

TEST_P(CudaEngine, StagesAreMeasuredOnTheDevice) {
  const Bytes before = device().Memory()->free;
  const auto made = Engine::Create(OptionsOn(device(), 8), clock_);
  ASSERT_TRUE(made.ok()) << made.status();
  Engine& engine = **made;
  std::map<std::string, MemoryStage> stages;
  Bytes of_engine;
  for (const MemoryStage& stage : engine.memory()) {
    stages[stage.name] = stage;
    if (stage.name != "context" && stage.name != "libraries") of_engine += stage.measured;
  }
  EXPECT_EQ(stages.count("context") + stages.count("libraries"), 2u);
  EXPECT_EQ(engine.memory().back().name, "pool");
  EXPECT_EQ(of_engine, before - device().Memory()->free) << "and nothing else was taken";
  for (const char* const name : {"weights", "activations", "pool"}) {
    EXPECT_GE(stages[name].measured, stages[name].predicted) << name;
  }
  if (GetParam().seed == 0) return;
  EXPECT_EQ(stages["activations"].measured, stages["activations"].predicted);
  EXPECT_EQ(stages["pool"].measured, engine.arena().committed_bytes());
}

// Capturing may take more than anybody predicted, so what is left is known only then.
TEST(CudaEngineOrder, GraphsAreCapturedBeforeThePoolHasMemory) {
  const SystemClock clock;
  const DeviceBackend& device = *KernelDevices().front().backend;
  const emulator::EmulatedCalls before = emulator::CallsOfEmulatedModule();
  const auto engine = Engine::Create(OptionsOn(device, 8), clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const emulator::EmulatedCalls after = emulator::CallsOfEmulatedModule();
  EXPECT_EQ(after.graphs_captured - before.graphs_captured, 2);  // of 1 and of 2 sequences
  EXPECT_EQ(after.graphs_before_commit, after.graphs_captured);
}

// Graphs take so much each while this lives.
struct HeavyGraphs {
  explicit HeavyGraphs(int64_t bytes) { emulator::SetGraphBytes(bytes); }
  ~HeavyGraphs() { emulator::SetGraphBytes(0); }
};

int64_t BlocksOf(Engine& engine) {
  return engine.admission().With(
      [](AdmissionController& admission) { return admission.cache().counts().total.value(); });
}

TEST(CudaEngineOrder, ThePoolHasWhatGraphsLeave) {
  const SystemClock clock;
  const DeviceBackend& device = *KernelDevices().front().backend;
  EngineOptions options = OptionsOn(device, 8);
  options.blocks = options.max_blocks = std::nullopt;
  options.memory = Bytes(8 << 20);
  const Bytes before = device.Memory()->free;
  int64_t planned = 0;
  {
    const auto engine = *Engine::Create(options, clock);
    planned = engine->plan().blocks.value();
    EXPECT_EQ(BlocksOf(*engine), planned);
  }
  const HeavyGraphs heavy(1 << 20);
  const auto engine = *Engine::Create(options, clock);
  EXPECT_EQ(engine->plan().blocks.value(), planned);
  EXPECT_LT(BlocksOf(*engine), planned);
  const Bytes taken = before - device.Memory()->free;
  const Bytes chunk = engine->arena().chunk_bytes();
  const Bytes budget = engine->plan().budget_bytes;
  EXPECT_LT(budget + chunk, *options.memory) << "the plan keeps something back";
  EXPECT_LE(taken, budget + chunk) << "and so does a smaller pool";
  EXPECT_GT(taken, budget - chunk) << "and has all but that";
  const auto listener = Start(*engine, std::vector<int32_t>(20, 7), 6);
  while (engine->loop().Step()) {
  }
  EXPECT_TRUE(listener->status.ok()) << listener->status;
  EXPECT_EQ(listener->tokens.size(), 6u);
}

TEST(CudaEngineOrder, APoolThatWasAskedForByItsBlocksIsThereOrNot) {
  const SystemClock clock;
  const DeviceBackend& device = *KernelDevices().front().backend;
  Bytes left, pool;
  {
    const auto engine = *Engine::Create(OptionsOn(device, 64), clock);
    left = device.Memory()->free;
    pool = engine->arena().committed_bytes();
  }
  const Bytes before = device.Memory()->free;
  const HeavyGraphs heavy((left.value() + pool.value() / 2) / 2);  // two of them
  const absl::Status status = Engine::Create(OptionsOn(device, 64), clock).status();
  EXPECT_EQ(status,
            absl::ResourceExhaustedError("a pool of 64 blocks needs 256 KiB, 128 KiB are left"));
  EXPECT_EQ(device.Memory()->free, before);
}

// Two that grow to two blocks each in a pool of three: the second stops, is kept or starts over,
// and the pool grows meanwhile.
TEST_P(CudaEngine, GrowsWhileSomebodyIsKept) {
  const std::vector<int32_t> a(14, 7), b(15, 3);
  const auto run = [&](int64_t blocks, int64_t resized) {
    const auto engine = *Engine::Create(OptionsOn(device(), blocks), clock_);
    const auto first = Start(*engine, a, 6), second = Start(*engine, b, 7);
    const auto step = [&] { return engine->loop().Step(); };
    for (int i = 0; i < 4; ++i) step();
    const bool stopped = engine->loop().Stats().preempted > 0;
    EXPECT_EQ(stopped, blocks == 3);
    const Bytes before = device().Memory()->free;
    absl::Status done = absl::UnknownError("not heard");
    engine->Resize(Blocks(resized), [&](const auto& outcome) { done = outcome.status(); });
    step();
    EXPECT_TRUE(done.ok()) << done;
    EXPECT_EQ(engine->memory().back().measured, engine->arena().committed_bytes());
    EXPECT_LE(device().Memory()->free, before);
    while (step()) {
    }
    EXPECT_TRUE(first->status.ok() && second->status.ok());
    EXPECT_EQ(engine->loop().Stats().swap.held, Blocks(0));
    return std::pair(first->tokens, second->tokens);
  };
  EXPECT_EQ(run(3, 64), run(8, 8));
}

INSTANTIATE_TEST_SUITE_P(All, CudaEngine, testing::ValuesIn(KernelDevices()), DeviceName);

}  // namespace
}  // namespace plimsoll
