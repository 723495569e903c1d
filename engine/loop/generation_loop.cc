#include "engine/loop/generation_loop.h"

#include <algorithm>
#include <condition_variable>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "engine/loop/generation.h"
#include "engine/loop/generation_request.h"
#include "engine/loop/step_plan.h"
#include "engine/ops/sampler.h"
#include "kvcache/base/check.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/mutex.h"

namespace plimsoll {

// The mutex guards what other threads touch; the rest belongs to the thread that steps. Listeners
// and admission are never called with the mutex held.
struct GenerationLoop::State {
  State(Decoder& its_decoder, SharedAdmission& its_admission, const LoopOptions& options);

  void TakeArrivals();
  void MarkStopped();
  void CommitBatch();
  void RunBatch();
  void TakeLogits(const StepShare& share, std::span<const float>& logits);
  void Choose(Generation& generation, std::span<const float> logits);
  void EndOver();
  void CountStep(Duration busy);
  bool Stopping() {
    MutexLock lock(mutex);
    return stop;
  }
  // Sleeps until something arrives or the loop is stopped.
  void AwaitWork() {
    MutexLock lock(mutex);
    while (!stop && arrivals.empty()) work.wait(mutex);
  }

  Decoder& decoder;
  SharedAdmission& admission;
  const StepLimits limits;
  const int64_t max_running;
  const SystemClock clock;  // measures `busy` and decides nothing

  std::vector<std::shared_ptr<Generation>> active;  // in order of arrival; the first ones run
  std::vector<SequenceProgress> progress;
  std::vector<StepShare> shares;
  std::vector<BatchEntry> batch;
  std::vector<std::shared_ptr<Generation>> ended;
  std::vector<Candidate> candidates;
  LoopStats step;  // what the step adds to the counters

  Mutex mutex;
  std::condition_variable_any work;  // something arrived, or the loop was stopped
  bool stop ABSL_GUARDED_BY(mutex) = false;
  int64_t next_ticket ABSL_GUARDED_BY(mutex) = 1;
  std::vector<std::shared_ptr<Generation>> arrivals ABSL_GUARDED_BY(mutex);
  std::unordered_map<int64_t, std::shared_ptr<Generation>> tickets ABSL_GUARDED_BY(mutex);
  LoopStats stats ABSL_GUARDED_BY(mutex);
};

GenerationLoop::State::State(Decoder& its_decoder, SharedAdmission& its_admission,
                             const LoopOptions& options)
    : decoder(its_decoder),
      admission(its_admission),
      limits{std::min(options.max_batched_tokens, its_decoder.options().max_batched_tokens).value(),
             its_decoder.options().max_logit_rows},
      max_running(std::min({options.max_sequences, limits.rows, limits.logit_rows})) {
  PLIMSOLL_CHECK(max_running > 0, options.max_sequences, limits.rows, limits.logit_rows);
  const size_t most = static_cast<size_t>(max_running);
  progress.reserve(most);
  shares.reserve(most);
  batch.reserve(most);
  candidates.reserve(static_cast<size_t>(decoder.model().vocab_size));
}

void GenerationLoop::State::TakeArrivals() {
  MutexLock lock(mutex);
  active.insert(active.end(), arrivals.begin(), arrivals.end());
  arrivals.clear();
  ended.reserve(active.size());
}

void GenerationLoop::State::MarkStopped() {
  admission.With([&](AdmissionController& controller) {
    for (const std::shared_ptr<Generation>& each : active) {
      if (each->cancelled || controller.StopRequested(each->request.reservation_id)) {
        each->reason = FinishReason::kCancelled;
        each->over = true;
      }
    }
  });
}

// Every sequence has room for its share: it was promised when the request was admitted.
void GenerationLoop::State::CommitBatch() {
  batch.clear();
  admission.With([&](AdmissionController& controller) {
    KvCache& cache = controller.cache();
    for (const StepShare& share : shares) {
      const Generation& generation = *active[share.sequence];
      const std::optional<AppendPlan> plan =
          cache.PlanAppend(generation.sequence, Tokens(share.tokens));
      PLIMSOLL_CHECK(plan.has_value() && plan->from_free == Blocks(0), generation.sequence,
                     generation.computed, share.tokens);
      cache.Commit(*plan);
      batch.push_back({.tokens = generation.Pending().first(static_cast<size_t>(share.tokens)),
                       .first_position = generation.computed,
                       .table = cache.Table(generation.sequence),
                       .all_logits = generation.request.all_logits,
                       .want_logits = share.last || generation.request.all_logits});
    }
    controller.Advance();  // publishes what changed
  });
}

void GenerationLoop::State::RunBatch() {
  const absl::StatusOr<std::span<const float>> logits = decoder.Forward(batch);
  if (!logits.ok()) {
    for (const StepShare& share : shares) {
      active[share.sequence]->status = logits.status();
      active[share.sequence]->reason = FinishReason::kCancelled;
      active[share.sequence]->over = true;
    }
    return;
  }
  std::span<const float> rows = *logits;
  for (const StepShare& share : shares) TakeLogits(share, rows);
}

// Takes this share's rows off the front of `logits`.
void GenerationLoop::State::TakeLogits(const StepShare& share, std::span<const float>& logits) {
  Generation& generation = *active[share.sequence];
  const bool all = generation.request.all_logits;
  const int64_t rows = all ? share.tokens : (share.last ? 1 : 0);
  const size_t vocab = static_cast<size_t>(decoder.model().vocab_size);
  std::span<const float> row;
  for (int64_t i = 0; i < rows; ++i) {
    row = logits.first(vocab);
    logits = logits.subspan(vocab);
    if (all) generation.listener->OnLogits(generation.computed + i, row);
  }
  if (!generation.decoding()) step.prompt_tokens += share.tokens;
  generation.computed += share.tokens;
  if (!share.last) return;
  if (generation.reason) {
    generation.over = true;  // this was the last token's own row, which was asked for
  } else {
    Choose(generation, row);
  }
}

void GenerationLoop::State::Choose(Generation& generation, std::span<const float> logits) {
  const SamplingOptions& options = generation.request.sampling;
  const int32_t token = SampleToken(logits,
                                    {.temperature = options.temperature,
                                     .top_k = options.top_k,
                                     .top_p = options.top_p,
                                     .seed = options.seed,
                                     .step = static_cast<uint64_t>(generation.generated)},
                                    candidates);
  generation.last_token = token;
  ++generation.generated;
  ++step.generated_tokens;
  generation.listener->OnToken(token);
  if (generation.request.stop_at_eos && decoder.model().eos_token == token) {
    generation.reason = FinishReason::kStop;
  } else if (generation.generated == generation.request.max_new_tokens.value()) {
    generation.reason = FinishReason::kLength;
  }
  generation.over = generation.reason.has_value() && !generation.request.all_logits;
}

// Blocks go back first: who hears that a generation is over finds its room free.
void GenerationLoop::State::EndOver() {
  std::copy_if(active.begin(), active.end(), std::back_inserter(ended),
               [](const auto& each) { return each->over; });
  if (ended.empty()) return;
  admission.With([&](AdmissionController& controller) {
    for (const auto& each : ended) controller.EndSequence(each->request.reservation_id);
  });
  std::erase_if(active, [](const auto& each) { return each->over; });
  {
    MutexLock lock(mutex);
    for (const auto& each : ended) tickets.erase(each->ticket);
    stats.running = std::min(std::ssize(active), max_running);
  }
  for (const auto& each : ended) each->listener->OnFinished(*each->reason, each->status);
  ended.clear();
}

void GenerationLoop::State::CountStep(Duration busy) {
  MutexLock lock(mutex);
  stats.steps += shares.empty() ? 0 : 1;
  stats.prompt_tokens += std::exchange(step.prompt_tokens, 0);
  stats.generated_tokens += std::exchange(step.generated_tokens, 0);
  stats.peak_running = std::max(stats.peak_running, std::ssize(progress));
  stats.running = std::min(std::ssize(active), max_running);
  stats.busy += busy;
}

GenerationLoop::GenerationLoop(Decoder& decoder, SharedAdmission& admission,
                               const LoopOptions& options)
    : state_(std::make_unique<State>(decoder, admission, options)) {}

GenerationLoop::~GenerationLoop() {
  Stop();
  Run();
}

absl::StatusOr<int64_t> GenerationLoop::Submit(GenerationRequest request,
                                               std::shared_ptr<GenerationListener> listener) {
  PLIMSOLL_RETURN_IF_ERROR(CheckRequest(request, state_->decoder.model()));
  const std::string id = request.reservation_id;
  const auto begin = [&](AdmissionController& controller) -> absl::StatusOr<SequenceId> {
    const absl::StatusOr<Reservation> reservation = controller.Get(id);
    if (!reservation.ok()) return reservation.status();
    PLIMSOLL_RETURN_IF_ERROR(CheckWithin(request, *reservation));
    return controller.BeginSequence(id);
  };
  const absl::StatusOr<SequenceId> sequence = state_->admission.With(begin);
  if (!sequence.ok()) return sequence.status();
  {
    MutexLock lock(state_->mutex);
    if (!state_->stop) {
      const int64_t ticket = state_->next_ticket++;
      auto generation =
          std::make_shared<Generation>(ticket, std::move(request), std::move(listener), *sequence);
      state_->tickets.emplace(ticket, generation);
      state_->arrivals.push_back(std::move(generation));
      state_->work.notify_one();
      return ticket;
    }
  }
  state_->admission.With([&](AdmissionController& controller) { controller.EndSequence(id); });
  return absl::UnavailableError("the generation loop has stopped");
}

void GenerationLoop::Cancel(int64_t ticket) {
  MutexLock lock(state_->mutex);
  const auto found = state_->tickets.find(ticket);
  if (found != state_->tickets.end()) found->second->cancelled = true;
}

bool GenerationLoop::Step() {
  State& state = *state_;
  const Instant start = state.clock.Now();
  state.TakeArrivals();
  state.MarkStopped();
  state.EndOver();
  state.progress.clear();
  state.shares.clear();
  for (const auto& each : state.active) {
    if (std::ssize(state.progress) == state.max_running) break;
    state.progress.push_back(each->Progress());
  }
  if (!state.progress.empty()) {
    PlanStep(state.progress, state.limits, state.shares);
    state.CommitBatch();
    state.RunBatch();
    state.EndOver();
  }
  state.CountStep(state.clock.Now() - start);
  return !state.progress.empty();
}

void GenerationLoop::Run() {
  State& state = *state_;
  while (!state.Stopping()) {
    if (!Step()) state.AwaitWork();
  }
  state.TakeArrivals();
  for (const auto& each : state.active) {
    each->reason = FinishReason::kCancelled;
    each->over = true;
  }
  state.EndOver();
}

void GenerationLoop::Stop() {
  MutexLock lock(state_->mutex);
  state_->stop = true;
  state_->work.notify_one();
}

LoopStats GenerationLoop::Stats() const {
  MutexLock lock(state_->mutex);
  return state_->stats;
}

}  // namespace plimsoll
