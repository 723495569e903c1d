#include "tools/replay/simulation.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "tools/replay/prompt_names.h"
#include "tools/replay/replay_tally.h"

namespace plimsoll {
namespace {

constexpr Duration kForever = std::chrono::hours(24 * 365 * 100);

// Something that a running request does next.
struct Event {
  Duration when;
  int64_t number;  // of the event; earlier ones go first at one instant
  size_t request;

  friend bool operator>(const Event& a, const Event& b) {
    return std::tie(a.when, a.number) > std::tie(b.when, b.number);
  }
};

// A request that was admitted and has not ended.
struct Running {
  std::string id;
  SequenceId sequence;
  Blocks blocks;
  Duration admitted;
  bool prefilled = false;
};

class Simulation {
 public:
  Simulation(const Workload& workload, const SimulationOptions& options, KvCache& cache,
             SimulatedClock& clock, AdmissionController& admission)
      : workload_(workload),
        options_(options),
        cache_(cache),
        clock_(clock),
        admission_(admission),
        tally_(options.block_tokens),
        running_(workload.requests.size()),
        queued_(workload.requests.size(), false) {}

  absl::Status Run();
  ReplayReport Report() const { return tally_.Report(); }

 private:
  const ReplayRequest& RequestOf(size_t i) const { return workload_.requests[i]; }
  // Of the full blocks of its prompt.
  std::vector<uint64_t> NamesOf(size_t i) const {
    const ReplayRequest& request = RequestOf(i);
    return PromptNames(request.hash_ids, request.prompt, options_.block_tokens,
                       Blocks(request.prompt / options_.block_tokens));
  }
  Duration Now() const { return clock_.Now().time_since_epoch(); }
  absl::Status Arrive(size_t i);
  void TakeAnswers();
  void Start(size_t i, const Reservation& reservation);
  void RunEventsUntil(Duration when);
  void Continue(size_t i);
  void Prefill(size_t i);
  void Append(const Running& running, Tokens length);
  void ScheduleNext(size_t i);
  void End(size_t i);
  void CheckBooks();

  const Workload& workload_;
  const SimulationOptions& options_;
  KvCache& cache_;
  SimulatedClock& clock_;
  AdmissionController& admission_;
  ReplayTally tally_;
  std::vector<std::optional<Running>> running_;  // by request
  std::vector<bool> queued_;                     // by request: it was not answered at once
  std::vector<std::pair<size_t, Answer>> answers_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  int64_t event_number_ = 0;
};

absl::Status Simulation::Run() {
  for (size_t i = 0; i < workload_.requests.size(); ++i) {
    RunEventsUntil(RequestOf(i).arrival);
    PLIMSOLL_RETURN_IF_ERROR(Arrive(i));
    CheckBooks();
  }
  RunEventsUntil(Duration::max());
  PLIMSOLL_CHECK(tally_.answered() == std::ssize(workload_.requests), tally_.answered());
  PLIMSOLL_CHECK(cache_.available() == cache_.counts().total, cache_.available());
  return absl::OkStatus();
}

absl::Status Simulation::Arrive(size_t i) {
  clock_.AdvanceTo(Instant(RequestOf(i).arrival));
  ReservationRequest request{.prompt_tokens = RequestOf(i).prompt,
                             .max_new_tokens = RequestOf(i).output};
  if (cache_.shares_prefixes()) request.prefix_hashes = NamesOf(i);
  const auto ticket = admission_.ReserveOrWait(
      request, kForever, [this, i](const Answer& answer) { answers_.emplace_back(i, answer); });
  if (!ticket.ok()) return ticket.status();
  queued_[i] = ticket->has_value();
  TakeAnswers();
  return absl::OkStatus();
}

// Answers come from inside the controller, which must not be called from there.
void Simulation::TakeAnswers() {
  const auto answers = std::exchange(answers_, {});
  for (const auto& [i, answer] : answers) {
    if (const auto* refusal = std::get_if<Refusal>(&answer)) {
      tally_.Refused(refusal->reason);
    } else {
      Start(i, std::get<Reservation>(answer));
    }
  }
}

void Simulation::Start(size_t i, const Reservation& reservation) {
  const absl::StatusOr<SequenceId> sequence = admission_.BeginSequence(reservation.id);
  PLIMSOLL_CHECK(sequence.ok(), sequence.status().message());
  tally_.Admitted(Now(), RequestOf(i).prompt, reservation.blocks, queued_[i]);
  tally_.FoundPrefix(reservation.prefix_blocks);
  running_[i] = {reservation.id, *sequence, reservation.blocks, Now()};
  ScheduleNext(i);
}

void Simulation::RunEventsUntil(Duration when) {
  while (!events_.empty() && events_.top().when <= when) {
    const Event event = events_.top();
    events_.pop();
    clock_.AdvanceTo(Instant(event.when));
    Continue(event.request);
    CheckBooks();
  }
}

// The prompt is there, or the first token of a new block, or the last token of all.
void Simulation::Continue(size_t i) {
  const ReplayRequest& request = RequestOf(i);
  const Running& running = *running_[i];
  const bool decodes = running.prefilled;
  if (!decodes) Prefill(i);
  const Tokens length = cache_.Length(running.sequence);
  const bool ends = Now() >= running.admitted + workload_.HoldTime(request);
  if (ends) {
    Append(running, request.total());
    return End(i);
  }
  const Tokens room =
      (BlocksCovering(length, options_.block_tokens).value()) * options_.block_tokens;
  if (decodes) Append(running, room + Tokens(1));
  ScheduleNext(i);
}

// The prompt is computed, and its full blocks may be found by others.
void Simulation::Prefill(size_t i) {
  Running& running = *running_[i];
  running.prefilled = true;
  Append(running, RequestOf(i).prompt);
  const std::vector<uint64_t> names = NamesOf(i);
  if (!cache_.shares_prefixes() || names.empty()) return;
  const int64_t found = cache_.Found(running.sequence).value();
  admission_.Name(running.id,
                  BlockNames::OfHashes(names).Subrange(found, std::ssize(names) - found));
}

void Simulation::Append(const Running& running, Tokens length) {
  const Tokens more = length - cache_.Length(running.sequence);
  if (more == Tokens(0)) return;
  const std::optional<AppendPlan> plan = cache_.PlanAppend(running.sequence, more);
  PLIMSOLL_CHECK(plan && plan->from_free == Blocks(0), more, "tokens beyond the promise");
  cache_.Commit(*plan);
}

void Simulation::ScheduleNext(size_t i) {
  const ReplayRequest& request = RequestOf(i);
  const Running& running = *running_[i];
  const Tokens length = cache_.Length(running.sequence);
  Duration after = request.prefill;
  if (running.prefilled) {
    const Tokens room =
        BlocksCovering(length, options_.block_tokens).value() * options_.block_tokens;
    const Tokens next = std::min(room + Tokens(1), request.total());
    after += workload_.decode_step * (next - request.prompt).value();
  }
  events_.push({running.admitted + after, event_number_++, i});
}

void Simulation::End(size_t i) {
  const Running ended = *std::exchange(running_[i], std::nullopt);
  admission_.EndSequence(ended.id);
  tally_.Ended(Now(), ended.blocks, Now() - ended.admitted, workload_.TokenTime(RequestOf(i)));
  TakeAnswers();
}

void Simulation::CheckBooks() {
  const BlockCounts counts = cache_.counts();
  PLIMSOLL_CHECK(counts.Conserved());
  const Blocks taken = counts.live + counts.reserved;
  if (cache_.shares_prefixes()) {
    PLIMSOLL_CHECK(tally_.held() >= taken, tally_.held(), taken);
    tally_.HoldTogether(taken);
  } else {
    PLIMSOLL_CHECK(tally_.held() == taken, tally_.held(), taken);
  }
  if (options_.on_event) options_.on_event(Now(), admission_);
}

}  // namespace

absl::StatusOr<ReplayReport> Simulate(const Workload& workload, const SimulationOptions& options) {
  SimulatedClock clock;
  const auto cache = KvCache::Create({.capacity = options.blocks,
                                      .block_tokens = options.block_tokens,
                                      .eviction = options.eviction});
  if (!cache.ok()) return cache.status();
  AdmissionOptions rules{.epoch = "simulation"};
  rules.confirm_window = Duration::zero();
  rules.max_context = options.max_context;
  rules.max_waiting = std::ssize(workload.requests) + 1;
  const auto admission = AdmissionController::Create(rules, **cache, clock);
  if (!admission.ok()) return admission.status();
  Simulation simulation(workload, options, **cache, clock, **admission);
  PLIMSOLL_RETURN_IF_ERROR(simulation.Run());
  ReplayReport report = simulation.Report();
  report.total_blocks = options.blocks;
  if (options.eviction != Eviction::kOff) report.eviction = NameOf(options.eviction);
  return report;
}

}  // namespace plimsoll
