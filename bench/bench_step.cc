// What the host does for a step of decoding: planning, admission, blocks, one copy's worth of
// inputs, a launch, tokens to their listeners. The device does nothing, so that nothing hides it.
// Every sequence must have got every token of the steps that were timed.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "bench/idle_module.h"
#include "engine/device/cuda_backend.h"
#include "engine/loop/generation_loop.h"
#include "engine/weights/make_model.h"
#include "engine/weights/weights.h"
#include "kvcache/admission/shared_admission.h"
#include "kvcache/base/check.h"
#include "kvcache/base/clock.h"
#include "kvcache/pool/kv_cache.h"

namespace plimsoll {
namespace {

constexpr int64_t kSteps = 1000;

constexpr const char* kConfig = R"({"architectures": ["LlamaForCausalLM"],
    "torch_dtype": "bfloat16", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 64,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5})";

class Counter final : public GenerationListener {
 public:
  void OnToken(int32_t) override { ++tokens; }
  void OnFinished(FinishReason, const absl::Status& status) override {
    PLIMSOLL_CHECK(status.ok(), status);
  }
  int64_t tokens = 0;
};

struct Model {
  Model() {
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("bench_step." + std::to_string(getpid()));
    std::filesystem::create_directory(folder);
    std::ofstream(folder / "config.json") << kConfig;
    const absl::StatusOr<MadeModel> made = MakeModel(
        {.like = (folder / "config.json").string(), .folder = (folder / "model").string()});
    PLIMSOLL_CHECK(made.ok(), made.status());
    config = made->config;
    weights = *Weights::Load((folder / "model").string(), config);
    std::filesystem::remove_all(folder);
  }
  ModelConfig config;
  std::unique_ptr<Weights> weights;
};

// So many sequences that decode, each with `context` tokens when the timing begins.
struct Running {
  Running(int64_t sequences, int64_t context)
      : backend(*CreateCudaBackend(IdleModule(), 0)),
        layout(*CacheLayoutFor(model.config, ElementType::kBf16, Tokens(16))),
        blocks(sequences * ((context + kSteps) / 16 + 2)),
        arena(*backend->CreateArena(blocks.value() * layout.block_bytes, backend->ChunkGranule())),
        cache(*KvCache::Create({.capacity = blocks, .block_tokens = Tokens(16)})),
        admission(*AdmissionController::Create({.epoch = "e"}, *cache, clock)) {
    PLIMSOLL_CHECK(arena->Commit({0, arena->chunks()}).ok());
    PLIMSOLL_CHECK(model.weights->MoveTo(*backend).ok());
    decoder =
        *Decoder::Create(model.config, *model.weights, {*backend, backend->ops()}, layout, *arena,
                         {.max_batched_tokens = Tokens(8192),
                          .max_logit_rows = sequences,
                          .max_graph_rows = sequences});
    loop = std::make_unique<GenerationLoop>(
        *decoder, admission,
        LoopOptions{.max_batched_tokens = Tokens(8192), .max_sequences = sequences});
    for (int64_t i = 0; i < sequences; ++i) Submit(context);
    while (listeners.back()->tokens == 0) loop->Step();
  }

  void Submit(int64_t context) {
    const auto granted = admission.With([&](AdmissionController& controller) {
      return controller.Reserve(
          {.prompt_tokens = Tokens(context), .max_new_tokens = Tokens(kSteps)});
    });
    PLIMSOLL_CHECK(granted.ok() && std::holds_alternative<Reservation>(*granted));
    listeners.push_back(std::make_shared<Counter>());
    const auto ticket =
        loop->Submit({.reservation_id = std::get<Reservation>(*granted).id,
                      .prompt = std::vector<int32_t>(static_cast<size_t>(context), 1),
                      .max_new_tokens = Tokens(kSteps),
                      .sampling = {.temperature = 0.8, .top_k = 40, .top_p = 0.95, .seed = 1},
                      .stop_at_eos = false},
                     listeners.back());
    PLIMSOLL_CHECK(ticket.ok(), ticket.status());
  }

  SystemClock clock;
  Model model;
  std::unique_ptr<DeviceBackend> backend;
  CacheLayout layout;
  Blocks blocks;
  std::unique_ptr<Arena> arena;
  std::unique_ptr<KvCache> cache;
  SharedAdmission admission;
  std::unique_ptr<Decoder> decoder;
  std::vector<std::shared_ptr<Counter>> listeners;
  std::unique_ptr<GenerationLoop> loop;
};

void BM_HostWorkOfAStep(benchmark::State& state) {
  Running running(state.range(0), state.range(1));
  const int64_t before = running.listeners.back()->tokens;
  int64_t steps = 0;
  for (auto _ : state) {
    running.loop->Step();
    ++steps;
  }
  if (running.listeners.back()->tokens != before + steps) state.SkipWithError("a token is missing");
}
BENCHMARK(BM_HostWorkOfAStep)
    ->ArgNames({"sequences", "context"})
    ->Args({1, 1024})
    ->Args({64, 1024})
    ->Args({256, 1024})
    ->Args({256, 8192})
    ->Iterations(kSteps / 2)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace plimsoll
