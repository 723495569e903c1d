#include "engine/loop/generation_loop.h"

#include <algorithm>
#include <condition_variable>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "engine/loop/generation.h"
#include "engine/loop/generation_request.h"
#include "engine/loop/step_plan.h"
#include "engine/loop/step_room.h"
#include "kvcache/base/check.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/mutex.h"

namespace plimsoll {
namespace {

constexpr Duration kMoment = std::chrono::milliseconds(2);

}  // namespace

// The mutex guards what other threads touch; the rest belongs to the thread that steps. Listeners
// and admission are never called with the mutex held.
struct GenerationLoop::State {
  State(Decoder& its_decoder, SharedAdmission& its_admission, const LoopOptions& options,
        SwapSpace* its_swap);

  void DoBetweenSteps();
  void TakeArrivals();
  void MarkStoppedAndResume();
  void ChooseRunning();
  void GrantAndCommit();
  void CommitBatch(KvCache& cache);
  void MoveSwapped();
  void RunBatch();
  void NoteFailure(const absl::Status& why);
  void EndAllIfGivenUp();
  // Take what is this share's off the front.
  void TakeLogits(const StepShare& share, std::span<const float>& logits);
  void TakeToken(Generation& generation, std::span<const DrawnToken>& tokens);
  void CountComputed(Generation& generation, int64_t tokens);
  void Deliver(Generation& generation, int32_t token);
  void EndOver();
  void CountStep(Duration busy);
  absl::Status GivenUp() {
    MutexLock lock(mutex);
    return given_up;
  }
  bool Stopping() {
    MutexLock lock(mutex);
    return stop;
  }
  // Sleeps until something arrives or the loop is stopped; while some are suspended, for a moment:
  // nobody says when their room is there.
  void AwaitWork() {
    MutexLock lock(mutex);
    while (!stop && arrivals.empty() && between.empty()) {
      if (!active.empty()) {
        work.wait_for(mutex, kMoment);
        return;
      }
      work.wait(mutex);
    }
  }
  int64_t Running() const {
    const auto runs = [](const auto& each) { return !each->suspended; };
    return std::min<int64_t>(std::count_if(active.begin(), active.end(), runs), max_running);
  }

  Decoder& decoder;
  SharedAdmission& admission;
  SwapSpace* const swap;  // null: none
  const StepLimits limits;
  const int64_t max_running;
  const SystemClock clock;  // measures `busy` and decides nothing

  std::vector<std::shared_ptr<Generation>> active;  // in order of arrival; the first ones run
  bool arrived = false;                             // some of them in this step
  int64_t stops_seen = 0;                           // of admission's, when all were looked up
  std::vector<Generation*> running;                 // in this step: those that are not suspended
  std::vector<SequenceProgress> progress;           // of each
  StepRoom room;
  std::vector<StepShare> shares;
  std::vector<BatchEntry> batch;
  std::vector<std::shared_ptr<Generation>> ended;
  LoopStats step;    // what the step adds to the counters
  int failures = 0;  // of steps, in a row

  Mutex mutex;
  std::vector<std::function<void()>> between ABSL_GUARDED_BY(mutex);
  std::condition_variable_any work;  // something arrived, or the loop was stopped
  bool stop ABSL_GUARDED_BY(mutex) = false;
  int64_t next_ticket ABSL_GUARDED_BY(mutex) = 1;
  std::vector<std::shared_ptr<Generation>> arrivals ABSL_GUARDED_BY(mutex);
  std::unordered_map<int64_t, std::shared_ptr<Generation>> tickets ABSL_GUARDED_BY(mutex);
  LoopStats stats ABSL_GUARDED_BY(mutex);
  absl::Status given_up ABSL_GUARDED_BY(mutex);  // why, once the device is
};

GenerationLoop::State::State(Decoder& its_decoder, SharedAdmission& its_admission,
                             const LoopOptions& options, SwapSpace* its_swap)
    : decoder(its_decoder),
      admission(its_admission),
      swap(its_swap),
      limits{std::min(options.max_batched_tokens, its_decoder.options().max_batched_tokens).value(),
             its_decoder.options().max_logit_rows},
      max_running(std::min({options.max_sequences, limits.rows, limits.logit_rows})),
      room(options.victim, its_swap) {
  PLIMSOLL_CHECK(max_running > 0, options.max_sequences, limits.rows, limits.logit_rows);
  const size_t most = static_cast<size_t>(max_running);
  running.reserve(most);
  progress.reserve(most);
  shares.reserve(most);
  batch.reserve(most);
}

void GenerationLoop::State::DoBetweenSteps() {
  std::vector<std::function<void()>> now;
  {
    MutexLock lock(mutex);
    now.swap(between);
  }
  for (const std::function<void()>& each : now) each();
}

void GenerationLoop::State::TakeArrivals() {
  MutexLock lock(mutex);
  arrived = !arrivals.empty();
  active.insert(active.end(), arrivals.begin(), arrivals.end());
  arrivals.clear();
  ended.reserve(active.size());
  room.ReserveRoom(active.size());
}

// Reservations are looked up only where one of them may have changed: one that just arrived may
// have been asked to stop before.
void GenerationLoop::State::MarkStoppedAndResume() {
  admission.With([&](AdmissionController& controller) {
    const int64_t stops = controller.StopsRequested();
    const bool look_up = arrived || stops != std::exchange(stops_seen, stops);
    for (const std::shared_ptr<Generation>& each : active) {
      if (each->cancelled || (look_up && controller.StopRequested(each->request.reservation_id))) {
        each->reason = FinishReason::kCancelled;
        each->over = true;
      }
    }
    if (!controller.promises_whole()) room.Resume(controller, active);
  });
  MoveSwapped();
}

// Before anything else is written to the blocks. Where it fails, nobody knows what those of the
// sequences hold that were to be moved, and they end.
void GenerationLoop::State::MoveSwapped() {
  if (swap == nullptr) return;
  const absl::Status moved = swap->MakeCopies();
  if (moved.ok()) return;
  for (const auto& each : active) {
    if (!swap->Lost(each->sequence)) continue;
    each->status = moved;
    each->reason = FinishReason::kCancelled;
    each->over = true;
  }
}

void GenerationLoop::State::ChooseRunning() {
  running.clear();
  progress.clear();
  for (const auto& each : active) {
    if (std::ssize(running) == max_running) break;
    if (each->suspended) continue;
    running.push_back(each.get());
    progress.push_back(each->Progress());
  }
}

void GenerationLoop::State::GrantAndCommit() {
  admission.With([&](AdmissionController& controller) {
    if (!controller.promises_whole()) {
      step.preempted += room.Grant(controller, active, running, shares);
    }
    CommitBatch(controller.cache());
    controller.Advance();  // publishes what changed
  });
  MoveSwapped();
}

// Every sequence has room for its share: it was promised when the request was admitted, or granted
// just now.
void GenerationLoop::State::CommitBatch(KvCache& cache) {
  batch.clear();
  for (const StepShare& share : shares) {
    const Generation& generation = *running[share.sequence];
    batch.push_back({.tokens = generation.Pending().first(static_cast<size_t>(share.tokens)),
                     .first_position = generation.computed,
                     .table = cache.AppendPromised(generation.sequence, Tokens(share.tokens)),
                     .all_logits = generation.request.all_logits,
                     .want_logits = share.last || generation.request.all_logits,
                     .draw = share.last ? generation.NextDraw() : std::nullopt,
                     .drawn = generation.drawn});
  }
}

void GenerationLoop::State::RunBatch() {
  const absl::StatusOr<Drawn> drawn = decoder.ForwardAndDraw(batch);
  if (!drawn.ok()) {
    for (const StepShare& share : shares) running[share.sequence]->Fail(drawn.status());
    return NoteFailure(drawn.status());
  }
  failures = 0;
  std::span<const float> logits = drawn->logits;
  std::span<const DrawnToken> tokens = drawn->tokens;
  for (const StepShare& share : shares) {
    Generation& generation = *running[share.sequence];
    TakeLogits(share, logits);
    CountComputed(generation, share.tokens);
    if (!share.last) continue;
    if (generation.reason) {
      generation.over = true;  // this was the last token's own row, which was asked for
    } else {
      TakeToken(generation, tokens);
    }
  }
}

void GenerationLoop::State::NoteFailure(const absl::Status& why) {
  ++step.failed_steps;
  if (++failures < kMostFailures) return;
  MutexLock lock(mutex);
  given_up = absl::UnavailableError("the device failed in " + std::to_string(failures) +
                                    " steps in a row, the last with: " + why.ToString());
}

void GenerationLoop::State::EndAllIfGivenUp() {
  const absl::Status why = GivenUp();
  if (why.ok()) return;
  for (const auto& each : active) each->Fail(why);
  EndOver();
}

void GenerationLoop::State::TakeLogits(const StepShare& share, std::span<const float>& logits) {
  Generation& generation = *running[share.sequence];
  const bool all = generation.request.all_logits;
  const int64_t rows = all ? share.tokens : (share.last ? 1 : 0);
  const size_t vocab = static_cast<size_t>(decoder.model().vocab_size);
  for (int64_t i = 0; i < rows; ++i) {
    const std::span<const float> row = logits.first(vocab);
    logits = logits.subspan(vocab);
    const int64_t position = generation.computed + i;
    if (all && position >= generation.reached) generation.listener->OnLogits(position, row);
  }
}

void GenerationLoop::State::TakeToken(Generation& generation, std::span<const DrawnToken>& tokens) {
  generation.drawn = tokens.front();
  tokens = tokens.subspan(1);
  if (generation.drawn.token == kNoToken) {
    return generation.Fail(absl::InternalError("the model's logits are not numbers"));
  }
  Deliver(generation, generation.drawn.token);
}

// Generated tokens are counted when they are chosen.
void GenerationLoop::State::CountComputed(Generation& generation, int64_t tokens) {
  const int64_t before = generation.computed, after = before + tokens;
  const int64_t first_new = std::max(before, generation.reached);
  const int64_t prompt = generation.prompt_size;
  step.recomputed_tokens += std::min(after, first_new) - before;
  step.prompt_tokens += std::max<int64_t>(0, std::min(after, prompt) - first_new);
  generation.computed = after;
  generation.reached = std::max(generation.reached, after);
}

void GenerationLoop::State::Deliver(Generation& generation, int32_t token) {
  generation.tokens.push_back(token);
  ++step.generated_tokens;
  generation.listener->OnToken(token);
  if (generation.request.stop_at_eos && decoder.model().eos_token == token) {
    generation.reason = FinishReason::kStop;
  } else if (generation.generated() == generation.request.max_new_tokens.value()) {
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
    for (const auto& each : ended) {
      if (swap != nullptr) swap->Forget(each->sequence);
      if (each->status.ok() && each->named) controller.NamePrefix(each->request.reservation_id);
      controller.EndSequence(each->request.reservation_id);
    }
  });
  std::erase_if(active, [](const auto& each) { return each->over; });
  {
    MutexLock lock(mutex);
    for (const auto& each : ended) tickets.erase(each->ticket);
    stats.running = Running();
  }
  for (const auto& each : ended) each->listener->OnFinished(*each->reason, each->status);
  ended.clear();
}

void GenerationLoop::State::CountStep(Duration busy) {
  int64_t rows = 0;
  for (const StepShare& share : shares) rows += share.tokens;
  if (swap != nullptr) swap->NoteStep(Tokens(rows), busy);
  MutexLock lock(mutex);
  if (swap != nullptr) {
    stats.swapped_out = swap->swapped_out();
    stats.swapped_in = swap->swapped_in();
    stats.swap = swap->counts();
  }
  stats.steps += shares.empty() ? 0 : 1;
  stats.failed_steps += std::exchange(step.failed_steps, 0);
  stats.prompt_tokens += std::exchange(step.prompt_tokens, 0);
  stats.generated_tokens += std::exchange(step.generated_tokens, 0);
  stats.recomputed_tokens += std::exchange(step.recomputed_tokens, 0);
  stats.preempted += std::exchange(step.preempted, 0);
  stats.peak_running = std::max(stats.peak_running, std::ssize(progress));
  stats.running = Running();
  stats.busy += busy;
}

GenerationLoop::GenerationLoop(Decoder& decoder, SharedAdmission& admission,
                               const LoopOptions& options, SwapSpace* swap)
    : state_(std::make_unique<State>(decoder, admission, options, swap)) {}

GenerationLoop::~GenerationLoop() {
  Stop();
  Run();
}

absl::StatusOr<int64_t> GenerationLoop::Submit(GenerationRequest request,
                                               std::shared_ptr<GenerationListener> listener) {
  PLIMSOLL_RETURN_IF_ERROR(state_->GivenUp());
  PLIMSOLL_RETURN_IF_ERROR(CheckRequest(request, state_->decoder.model()));
  const std::string id = request.reservation_id;
  bool named = false;
  const auto begin = [&](AdmissionController& controller) -> absl::StatusOr<SequenceId> {
    const absl::StatusOr<Reservation> reservation = controller.Get(id);
    if (!reservation.ok()) return reservation.status();
    PLIMSOLL_RETURN_IF_ERROR(CheckWithin(request, *reservation));
    const Tokens block_tokens = controller.cache().block_tokens();
    const Tokens there = reservation->prefix_blocks.value() * block_tokens;
    named = HasFullBlocksOf(request, *reservation, block_tokens);
    PLIMSOLL_RETURN_IF_ERROR(CheckBeyond(request, there, *reservation));
    return controller.BeginSequence(id);
  };
  Tokens found;
  const absl::StatusOr<SequenceId> sequence =
      state_->admission.With([&](AdmissionController& controller) {
        absl::StatusOr<SequenceId> began = begin(controller);
        if (began.ok()) found = controller.cache().Length(*began);
        return began;
      });
  if (!sequence.ok()) return sequence.status();
  {
    MutexLock lock(state_->mutex);
    if (!state_->stop) {
      const int64_t ticket = state_->next_ticket++;
      auto generation =
          std::make_shared<Generation>(ticket, std::move(request), std::move(listener), *sequence);
      generation->computed = generation->reached = found.value();
      generation->named = named;
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

bool GenerationLoop::BetweenSteps(std::function<void()> work) {
  MutexLock lock(state_->mutex);
  if (state_->stop) return false;
  state_->between.push_back(std::move(work));
  state_->work.notify_one();
  return true;
}

bool GenerationLoop::Step() {
  State& state = *state_;
  state.DoBetweenSteps();
  const Instant start = state.clock.Now();
  state.TakeArrivals();
  state.EndAllIfGivenUp();
  state.MarkStoppedAndResume();
  state.EndOver();
  state.ChooseRunning();
  state.shares.clear();
  if (!state.progress.empty()) {
    PlanStep(state.progress, state.limits, state.shares);
    state.GrantAndCommit();
    if (!state.shares.empty()) state.RunBatch();
    state.EndOver();
  }
  state.CountStep(state.clock.Now() - start);
  return !state.shares.empty();
}

void GenerationLoop::Run() {
  State& state = *state_;
  while (!state.Stopping()) {
    if (!Step()) state.AwaitWork();
  }
  state.DoBetweenSteps();
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

absl::Status GenerationLoop::Failure() const { return state_->GivenUp(); }

}  // namespace plimsoll
