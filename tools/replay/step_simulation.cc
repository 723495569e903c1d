#include "tools/replay/step_simulation.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/admission/reservation.h"
#include "kvcache/base/errors.h"
#include "tools/replay/prompt_names.h"

namespace plimsoll {
namespace {

constexpr int64_t kStepsOfRoom = 4;  // that a victim is to make, if it can

// A request, as far as it got.
struct Progress {
  Tokens generated = Tokens(0);
  int64_t stops = 0;
  bool started = false;
};

struct Running {
  size_t request;
  SequenceId sequence;
  AdmissionPolicy::Place place;
  int64_t ready;       // the step in which its prompt has been computed
  bool named = false;  // others find its prompt
};

class Steps {
 public:
  Steps(const Workload& workload, const StepOptions& options, KvCache& cache,
        AdmissionPolicy& policy)
      : workload_(workload),
        options_(options),
        cache_(cache),
        policy_(policy),
        longest_(std::min(options.context, cache.counts().total.value() * options.block_tokens)),
        progress_(workload.requests.size()),
        declared_(DeclaredLengths(workload, options.declared, options.seed)) {
    report_.total_blocks = options.blocks;
    report_.block_tokens = options.block_tokens;
    figures_.policy = std::string(NameOf(options.policy.policy));
    figures_.victim = std::string(NameOf(options.victim));
    if (cache.shares_prefixes()) report_.eviction = std::string(NameOf(options.eviction));
  }

  void Run();
  ReplayReport Report();

 private:
  const ReplayRequest& RequestOf(size_t i) const { return workload_.requests[i]; }
  Demand DemandOf(size_t i) const;
  // What its full blocks are called; nothing where they are not shared.
  std::vector<uint64_t> NamesOf(size_t i) const;
  // The first step that begins at or after this time.
  int64_t StepAt(Duration time) const {
    return CeilDivide(time.count(), workload_.decode_step.count());
  }
  bool Over() const;
  void Arrive();
  bool MayStart(size_t i) const;
  void StartWaiting();
  // Returns a sequence with its prompt, and how many of its tokens were there already.
  std::pair<SequenceId, Tokens> Begin(size_t i);
  void Start(size_t i);
  void CountStart(size_t i, Tokens found);
  void NamePrompt(Running& running);
  // Whether it takes a token in this step.
  bool Generates(const Running& running) const {
    return running.ready <= step_ && RequestOf(running.request).output > Tokens(0);
  }
  // Returns false if there is no room for its next token.
  bool MakeSlot(const Running& running);
  bool MakeSlots();
  Blocks Wanted() const;
  size_t StopOne();
  void Generate();
  void CountStep(bool overflowed);
  void EndFinished();

  const Workload& workload_;
  const StepOptions& options_;
  KvCache& cache_;
  AdmissionPolicy& policy_;
  const Tokens longest_;  // prompt and output together
  std::vector<Progress> progress_;
  const std::vector<Tokens> declared_;
  std::deque<size_t> waiting_;    // by arrival
  std::vector<Running> running_;  // by arrival
  size_t arrived_ = 0;
  int64_t step_ = 0;
  std::vector<Duration> queued_;
  ReplayReport report_;
  StepFigures figures_;
  bool decided_ = false;
  double sequence_steps_ = 0, token_steps_ = 0, slot_steps_ = 0, filled_steps_ = 0;
};

Demand Steps::DemandOf(size_t i) const {
  const ReplayRequest& request = RequestOf(i);
  return {.prompt = request.prompt,
          .max_new = std::min(declared_[i], longest_ - request.prompt),
          .generated = progress_[i].generated};
}

std::vector<uint64_t> Steps::NamesOf(size_t i) const {
  if (!cache_.shares_prefixes()) return {};
  const ReplayRequest& request = RequestOf(i);
  return PromptNames(request.hash_ids, request.prompt, options_.block_tokens,
                     Blocks(request.prompt / options_.block_tokens));
}

bool Steps::Over() const {
  if (arrived_ < workload_.requests.size() || !waiting_.empty()) return false;
  return options_.backlog || running_.empty();
}

void Steps::Arrive() {
  if (running_.empty() && waiting_.empty() && !options_.backlog) {
    step_ = std::max(step_, StepAt(RequestOf(arrived_).arrival));
  }
  while (arrived_ < workload_.requests.size() &&
         (options_.backlog || StepAt(RequestOf(arrived_).arrival) <= step_)) {
    ++report_.requests;
    if (RequestOf(arrived_).total() > longest_) {
      ++report_.refused;
      ++report_.refusals[std::string(NameOf(Reason::kNeverFits))];
    } else {
      waiting_.push_back(arrived_);
    }
    ++arrived_;
  }
}

// What it finds of its prompt counts as free to it. Finding that out takes long, and mostly the
// policy says no whatever is found.
bool Steps::MayStart(size_t i) const {
  const Demand demand = DemandOf(i);
  const Blocks free = cache_.available();
  if (!cache_.shares_prefixes()) return policy_.MayStart(demand, free);
  const Blocks most_found(demand.prompt / options_.block_tokens);
  if (!policy_.MayStart(demand, free + most_found)) return false;
  const std::vector<uint64_t> names = NamesOf(i);
  const PrefixFound found = cache_.Find({.salt = {}, .names = BlockNames::OfHashes(names)});
  return policy_.MayStart(demand, free - found.cached + found.blocks);
}

void Steps::StartWaiting() {
  while (!waiting_.empty() && MayStart(waiting_.front())) {
    const size_t i = waiting_.front();
    waiting_.pop_front();
    Start(i);
  }
}

// A promise that is larger than what is filled at once stays with the sequence.
std::pair<SequenceId, Tokens> Steps::Begin(size_t i) {
  const Demand demand = DemandOf(i);
  const Blocks taken = policy_.AtStart(demand);
  std::optional<SequenceId> sequence;
  if (cache_.shares_prefixes()) {
    const std::vector<uint64_t> names = NamesOf(i);
    sequence = cache_.BeginWith({.salt = {}, .names = BlockNames::OfHashes(names)}, taken);
  } else if (cache_.Promise(taken)) {
    sequence = cache_.Begin(taken);
  }
  PLIMSOLL_CHECK(sequence.has_value(), taken, cache_.available());
  const Tokens found = cache_.Length(*sequence);
  if (found == demand.length()) return {*sequence, found};
  const auto rest = cache_.PlanAppend(*sequence, demand.length() - found);
  PLIMSOLL_CHECK(rest.has_value(), demand.length(), found);
  cache_.Commit(*rest);
  return {*sequence, found};
}

void Steps::Start(size_t i) {
  const ReplayRequest& request = RequestOf(i);
  const auto [sequence, found] = Begin(i);
  Running running{i, sequence, policy_.Started(DemandOf(i)), step_};
  if (!options_.backlog) {
    const auto computed = static_cast<double>((request.prompt - found).value()) /
                          static_cast<double>(request.prompt.value());
    running.ready += StepAt(std::chrono::duration_cast<Duration>(request.prefill * computed));
  }
  NamePrompt(running);
  const auto at = std::upper_bound(running_.begin(), running_.end(), i,
                                   [](size_t n, const Running& of) { return n < of.request; });
  running_.insert(at, running);
  decided_ = true;
  CountStart(i, found);
}

// Who starts over computes what it had, less what it finds.
void Steps::CountStart(size_t i, Tokens found) {
  const ReplayRequest& request = RequestOf(i);
  if (std::exchange(progress_[i].started, true)) {
    figures_.recomputed -= found;
    return;
  }
  ++report_.admitted;
  report_.prompt_tokens += request.prompt;
  report_.prompt_blocks += BlocksCovering(request.prompt, options_.block_tokens);
  report_.prefix_hit_tokens += found;
  report_.prefix_hit_blocks += Blocks(found / options_.block_tokens);
  const int64_t waited = options_.backlog ? step_ : step_ - StepAt(request.arrival);
  if (waited > 0) ++report_.waited;
  queued_.push_back(waited * workload_.decode_step);
}

// Once its prompt is computed.
void Steps::NamePrompt(Running& running) {
  if (running.named || running.ready > step_) return;
  running.named = true;
  const std::vector<uint64_t> names = NamesOf(running.request);
  const int64_t found = names.empty() ? 0 : cache_.Found(running.sequence).value();
  if (found == std::ssize(names)) return;
  cache_.Name(running.sequence,
              BlockNames::OfHashes(names).Subrange(found, std::ssize(names) - found));
}

bool Steps::MakeSlot(const Running& running) {
  const auto plan = cache_.PlanAppend(running.sequence, Tokens(1));
  if (!plan) return false;
  cache_.Commit(*plan);
  return true;
}

// Returns whether anybody had to stop.
bool Steps::MakeSlots() {
  bool overflowed = false;
  for (size_t n = 0; n < running_.size();) {
    if (!Generates(running_[n]) || MakeSlot(running_[n])) {
      ++n;
      continue;
    }
    overflowed = true;
    if (StopOne() < n) --n;  // else the next one is at its place, or it is still there
  }
  return overflowed;
}

// What all that run take in the next few steps.
Blocks Steps::Wanted() const {
  return BlocksCovering(Tokens(kStepsOfRoom * std::ssize(running_)), options_.block_tokens);
}

// Returns where in the list of running requests the victim was.
size_t Steps::StopOne() {
  PLIMSOLL_CHECK(running_.size() > 1, "more was admitted than the pool holds");
  std::vector<VictimCandidate> candidates;
  candidates.reserve(running_.size());
  for (const Running& running : running_) {
    candidates.push_back(
        {.arrival = static_cast<int64_t>(running.request),
         .recompute = RequestOf(running.request).prompt + progress_[running.request].generated,
         .given_back = cache_.RoomIfPreempted(running.sequence),
         .stops = progress_[running.request].stops});
  }
  const size_t victim = ChooseVictim(options_.victim, candidates, Wanted());
  const Running stopped = running_[victim];
  running_.erase(running_.begin() + static_cast<ptrdiff_t>(victim));
  cache_.End(stopped.sequence);
  policy_.Preempted(stopped.place);
  ++progress_[stopped.request].stops;
  ++report_.preempted;
  figures_.recomputed += candidates[victim].recompute;
  waiting_.insert(std::lower_bound(waiting_.begin(), waiting_.end(), stopped.request),
                  stopped.request);
  return victim;
}

void Steps::Generate() {
  for (const Running& running : running_) {
    if (!Generates(running)) continue;
    progress_[running.request].generated += Tokens(1);
    policy_.Grew(running.place, Tokens(1));
  }
}

void Steps::CountStep(bool overflowed) {
  ++figures_.steps;
  if (overflowed) ++figures_.overflows;
  if (std::exchange(decided_, false)) ++figures_.decisions;
  const BlockCounts counts = cache_.counts();
  PLIMSOLL_CHECK(counts.Conserved());
  Tokens tokens, slots;  // what requests share counts for each of them
  for (const Running& running : running_) {
    tokens += cache_.Length(running.sequence);
    const Blocks blocks(std::ssize(cache_.Table(running.sequence)));
    slots += (blocks + cache_.PromiseLeft(running.sequence)).value() * options_.block_tokens;
  }
  const Blocks taken = counts.live + counts.reserved;
  const Tokens unfilled = slots - tokens;  // no block that is part full is shared
  report_.peak_sequences = std::max(report_.peak_sequences, std::ssize(running_));
  report_.peak_blocks = std::max(report_.peak_blocks, taken);
  sequence_steps_ += static_cast<double>(running_.size());
  token_steps_ += static_cast<double>(tokens.value());
  slot_steps_ += static_cast<double>(slots.value());
  filled_steps_ += static_cast<double>((taken.value() * options_.block_tokens - unfilled).value());
}

void Steps::EndFinished() {
  std::erase_if(running_, [&](const Running& running) {
    const Tokens output = RequestOf(running.request).output;
    if (running.ready > step_ || progress_[running.request].generated < output) return false;
    cache_.End(running.sequence);
    policy_.Ended(running.place);
    return true;
  });
}

void Steps::Run() {
  Arrive();
  for (;; ++step_) {
    if (Over()) break;
    if (arrived_ < workload_.requests.size()) Arrive();
    for (Running& running : running_) NamePrompt(running);
    StartWaiting();
    if (Over()) break;
    const bool overflowed = MakeSlots();
    Generate();
    CountStep(overflowed);
    EndFinished();
    policy_.Stepped(overflowed);
    if (options_.on_step) options_.on_step(cache_, figures_);
  }
}

ReplayReport Steps::Report() {
  const auto steps = static_cast<double>(options_.backlog ? figures_.steps : step_);
  const double slots =
      static_cast<double>((options_.blocks.value() * options_.block_tokens).value());
  report_.mean_sequences = steps > 0 ? sequence_steps_ / steps : 0;
  report_.useful_fraction = slot_steps_ > 0 ? token_steps_ / slot_steps_ : 0;
  figures_.pool_fraction = steps > 0 ? filled_steps_ / (steps * slots) : 0;
  figures_.queued = LatencyFiguresOf(std::move(queued_));
  report_.steps = figures_;
  return report_;
}

}  // namespace

absl::StatusOr<ReplayReport> SimulateSteps(const Workload& workload, const StepOptions& options) {
  if (workload.decode_step <= Duration::zero()) {
    return BadField("--decode-ms", 0, "more than 0 where requests decode step by step");
  }
  const auto cache = KvCache::Create({.capacity = options.blocks,
                                      .block_tokens = options.block_tokens,
                                      .eviction = options.eviction});
  if (!cache.ok()) return cache.status();
  const auto policy = AdmissionPolicy::Create(options.policy, options.blocks, options.block_tokens);
  if (!policy.ok()) return policy.status();
  Steps steps(workload, options, **cache, **policy);
  steps.Run();
  return steps.Report();
}

}  // namespace plimsoll
