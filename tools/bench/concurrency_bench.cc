#include "tools/bench/concurrency_bench.h"

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

#include "engine/device/choose_device.h"
#include "engine/engine_plan.h"
#include "kvcache/base/errors.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/kv_bytes.h"
#include "kvcache/sizing/pool_capacity.h"
#include "tools/bench/filling_decoder.h"
#include "tools/bench/kernel_bench.h"

namespace plimsoll {
namespace {

// A prompt of one token, the one that comes of it, one of a step that is not counted, one measured.
constexpr Tokens kShortestContext = Tokens(4);

int64_t PredictedSequences(const InferencePlan& plan, Tokens context) {
  return SequencesIn({.bytes = plan.kv_pool_bytes,
                      .block_bytes = plan.block_bytes,
                      .state_bytes = plan.sequence_state_bytes,
                      .block_tokens = plan.block_tokens},
                     context);
}

absl::Status CheckContexts(const ConcurrencyOptions& options, const ModelConfig& model) {
  for (const Tokens context : options.contexts) {
    if (context < kShortestContext || context > model.max_context) {
      return BadField("--context", context.value(),
                      "4 to " + std::to_string(model.max_context.value()));
    }
  }
  return absl::OkStatus();
}

// The plan of an engine whose steps have room for the sequences of a context, which are fewer the
// more room its steps take: the most there could be are enough.
absl::StatusOr<EngineOptions> EngineFor(const ConcurrencyOptions& options) {
  const absl::StatusOr<ModelConfig> model = ReadModelConfig(options.engine.model_path);
  if (!model.ok()) return model.status();
  PLIMSOLL_RETURN_IF_ERROR(CheckContexts(options, *model));
  const absl::StatusOr<DeviceChoice> device = ChooseDevice(options.engine.device);
  if (!device.ok()) return device.status();
  const absl::StatusOr<DeviceMemory> memory = device->backend->Memory();
  if (!memory.ok()) return memory.status();
  EngineOptions engine = options.engine;
  engine.loop.max_sequences = 1;
  const absl::StatusOr<InferencePlan> plan =
      PlanEngine(*model, *device->backend, engine, memory->free);
  if (!plan.ok()) return plan.status();
  const Tokens shortest = *std::min_element(options.contexts.begin(), options.contexts.end());
  const int64_t most = std::max<int64_t>(1, PredictedSequences(*plan, shortest));
  engine.loop.max_sequences = most;
  engine.loop.max_batched_tokens = std::max(engine.loop.max_batched_tokens, Tokens(most));
  return engine;
}

class Listener final : public GenerationListener {
 public:
  void OnToken(int32_t /*token*/) override {}
  void OnFinished(FinishReason /*reason*/, const absl::Status& status) override {
    status_ = status;
  }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

// The nearest-rank percentile; `sorted` is not empty.
Duration Percentile(const std::vector<Duration>& sorted, size_t percent) {
  const size_t rank = (sorted.size() * percent + 99) / 100;
  return sorted[std::max<size_t>(rank, 1) - 1];
}

Bytes KvReadBytes(const ModelConfig& model, ElementType kv, Tokens context) {
  Bytes bytes;
  for (const AttentionSpec& layer : model.attention) {
    const Tokens seen = std::min(context, layer.window.value_or(context));
    bytes += KvBytesOfLayer(layer, kv) * seen.value();
  }
  return bytes;
}

// Sequences of one context on an engine, at one level after the other.
class Ramp {
 public:
  Ramp(Engine& engine, const ConcurrencyOptions& options, Tokens context, Bytes weights,
       double bytes_per_second)
      : engine_(engine),
        max_itl_(options.max_itl),
        weights_(weights),
        bytes_per_second_(bytes_per_second),
        steps_(std::min(options.steps, context.value() - 3)),
        decoder_(engine.decoder(), engine.backend(), engine.layout(), engine.arena().base()),
        loop_(decoder_, engine.admission(),
              {.max_batched_tokens = decoder_.options().max_batched_tokens,
               .max_sequences = engine.decoder().options().max_logit_rows}) {
    run_.context = context;
    run_.predicted = PredictedSequences(engine.plan(), context);
    run_.prompt = context - new_tokens();
    std::mt19937 random(1);
    for (int64_t i = 0; i < run_.prompt.value(); ++i) {
      prompt_.push_back(
          static_cast<int32_t>(random() % static_cast<uint64_t>(engine.model().vocab_size)));
    }
  }

  absl::StatusOr<ConcurrencyRun> Run();

 private:
  // One comes of the prompt, one of the step that is not counted.
  Tokens new_tokens() const { return Tokens(steps_ + 2); }
  bool TooSlow(const ConcurrencyLevel& level) const {
    return max_itl_ && level.itl_p99 > *max_itl_;
  }
  // Between a level that kept the latency and one that did not.
  absl::Status Search(int64_t good, int64_t bad);
  // Adds the level of `wanted` sequences, or of all that the pool takes.
  absl::StatusOr<ConcurrencyLevel> MeasureLevel(int64_t wanted);
  // Begins one more sequence; false if it is refused.
  absl::StatusOr<bool> Begin();
  absl::Status MeasureSteps(ConcurrencyLevel& level);
  absl::Status Finish();

  Engine& engine_;
  const std::optional<Duration> max_itl_;
  const Bytes weights_;
  const double bytes_per_second_;
  const int64_t steps_;
  const SystemClock clock_;
  FillingDecoder decoder_;
  GenerationLoop loop_;
  std::vector<int32_t> prompt_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  ConcurrencyRun run_;
};

absl::StatusOr<ConcurrencyRun> Ramp::Run() {
  for (int64_t wanted = 1; run_.predicted > 0;) {
    const bool all = wanted >= run_.predicted;
    const absl::StatusOr<ConcurrencyLevel> level = MeasureLevel(all ? run_.predicted + 1 : wanted);
    if (!level.ok()) return level.status();
    if (TooSlow(*level)) {
      PLIMSOLL_RETURN_IF_ERROR(Search(run_.reached, level->sequences));
      run_.pool_full = false;
      break;
    }
    run_.reached = level->sequences;
    if (all) break;
    wanted = std::min(2 * wanted, run_.predicted);
  }
  std::sort(run_.levels.begin(), run_.levels.end(),
            [](const auto& a, const auto& b) { return a.sequences < b.sequences; });
  run_.prefill = decoder_.prompt_time();
  return std::move(run_);
}

absl::Status Ramp::Search(int64_t good, int64_t bad) {
  while (bad - good > 1) {
    const int64_t middle = good + (bad - good) / 2;
    const absl::StatusOr<ConcurrencyLevel> level = MeasureLevel(middle);
    if (!level.ok()) return level.status();
    (TooSlow(*level) ? bad : good) = middle;
  }
  run_.reached = good;
  return absl::OkStatus();
}

absl::StatusOr<ConcurrencyLevel> Ramp::MeasureLevel(int64_t wanted) {
  ConcurrencyLevel level;
  while (level.sequences < wanted) {
    const absl::StatusOr<bool> begun = Begin();
    if (!begun.ok()) return begun.status();
    run_.pool_full = !*begun;
    if (!*begun) break;
    ++level.sequences;
  }
  PLIMSOLL_RETURN_IF_ERROR(MeasureSteps(level));
  run_.levels.push_back(level);
  return level;
}

absl::StatusOr<bool> Ramp::Begin() {
  const ReservationRequest wanted{.prompt_tokens = run_.prompt, .max_new_tokens = new_tokens()};
  const absl::StatusOr<Answer> answer = engine_.admission().With(
      [&](AdmissionController& admission) { return admission.Reserve(wanted); });
  if (!answer.ok()) return answer.status();
  const auto* const granted = std::get_if<Reservation>(&*answer);
  if (granted == nullptr) return false;
  listeners_.push_back(std::make_shared<Listener>());
  const absl::StatusOr<int64_t> ticket = loop_.Submit({.reservation_id = granted->id,
                                                       .prompt = prompt_,
                                                       .max_new_tokens = new_tokens(),
                                                       .stop_at_eos = false},
                                                      listeners_.back());
  if (!ticket.ok()) return ticket.status();
  return true;
}

absl::Status Ramp::MeasureSteps(ConcurrencyLevel& level) {
  loop_.Step();  // the prompts
  loop_.Step();  // caches and branches are warm behind this one
  std::vector<Duration> took;
  Duration total = Duration::zero();
  Bytes bytes;
  for (level.steps = 0; level.steps < steps_; ++level.steps) {
    const Instant start = clock_.Now();
    loop_.Step();
    took.push_back(clock_.Now() - start);
    total += took.back();
    if (decoder_.decoded() != level.sequences) break;
    const Tokens context = run_.prompt + Tokens(2 + level.steps);
    bytes +=
        weights_ + KvReadBytes(engine_.model(), engine_.plan().kv_type, context) * level.sequences;
  }
  PLIMSOLL_RETURN_IF_ERROR(Finish());
  if (level.steps < steps_) {
    return absl::InternalError(std::to_string(decoder_.decoded()) + " of " +
                               std::to_string(level.sequences) + " sequences decoded in a step");
  }
  std::sort(took.begin(), took.end());
  level.itl_p50 = Percentile(took, 50);
  level.itl_p99 = Percentile(took, 99);
  const double seconds = std::chrono::duration<double>(total).count();
  level.tokens_per_second = static_cast<double>(level.sequences * steps_) / seconds;
  level.bytes_per_step = Bytes(bytes.value() / steps_);
  level.bound = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(
      static_cast<double>(level.bytes_per_step.value()) / bytes_per_second_));
  return absl::OkStatus();
}

// Whatever still runs ends, and says if it failed.
absl::Status Ramp::Finish() {
  while (loop_.Step()) {
  }
  for (const std::shared_ptr<Listener>& each : listeners_) {
    PLIMSOLL_RETURN_IF_ERROR(each->status());
  }
  listeners_.clear();
  return absl::OkStatus();
}

// What a step reads of the weights: of a table that is not the head too, only rows.
Bytes WeightsRead(Engine& engine, bool rounded) {
  const ModelConfig& model = engine.model();
  Bytes all;
  for (const MemoryStage& stage : engine.memory()) {
    if (stage.name == "weights") all = stage.measured;
  }
  if (model.tied_embeddings) return all;
  const bool narrowed = rounded && BitsOf(model.dtype) > 16;  // as tensor_source.h says
  const Bytes table =
      BytesOf(narrowed ? ElementType::kBf16 : model.dtype, model.vocab_size * model.hidden_size);
  return table < all ? all - table : all;
}

}  // namespace

double ConcurrencyLevel::ShareOfBound() const {
  if (itl_p50 <= Duration::zero()) return 0;
  return static_cast<double>(bound.count()) / static_cast<double>(itl_p50.count());
}

bool ConcurrencyRun::AsPredicted() const {
  if (pool_full || predicted == 0) return reached == predicted;
  return reached < predicted;
}

absl::StatusOr<ConcurrencyReport> MeasureConcurrency(const ConcurrencyOptions& options) {
  const absl::StatusOr<EngineOptions> engine_options = EngineFor(options);
  if (!engine_options.ok()) return engine_options.status();
  const absl::StatusOr<DeviceChoice> device = ChooseDevice(engine_options->device);
  if (!device.ok()) return device.status();
  // Before the engine takes the memory that measuring needs.
  const absl::StatusOr<double> bandwidth = MeasureBandwidth(*device->backend);
  if (!bandwidth.ok()) return bandwidth.status();
  const SystemClock clock;
  const absl::StatusOr<std::unique_ptr<Engine>> made = Engine::Create(*engine_options, clock);
  if (!made.ok()) return made.status();
  Engine& engine = **made;
  ConcurrencyReport report{.model = engine.model().name,
                           .device = engine.device(),
                           .kv_type = engine.plan().kv_type,
                           .blocks = engine.admission().published().Read().blocks.total,
                           .planned_blocks = engine.plan().blocks,
                           .block_tokens = engine.plan().block_tokens,
                           .block_bytes = engine.plan().block_bytes,
                           .weights_bytes = WeightsRead(engine, options.engine.weights.has_value()),
                           .max_itl = options.max_itl,
                           .bytes_per_second = *bandwidth,
                           .runs = {}};
  for (const Tokens context : options.contexts) {
    Ramp ramp(engine, options, context, report.weights_bytes, report.bytes_per_second);
    absl::StatusOr<ConcurrencyRun> run = ramp.Run();
    if (!run.ok()) return run.status();
    report.runs.push_back(*std::move(run));
  }
  return report;
}

}  // namespace plimsoll
