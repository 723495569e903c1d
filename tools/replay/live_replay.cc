#include "tools/replay/live_replay.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "tools/replay/inbox.h"
#include "tools/replay/replay_tally.h"

namespace plimsoll {
namespace {

constexpr int64_t kMaxUnanswered = 4096;
constexpr size_t kRenewedAtOnce = 1000;
constexpr Duration kLongestSleep = std::chrono::milliseconds(100);
constexpr Duration kProgressInterval = std::chrono::milliseconds(200);

// A reservation that is held, or generates.
struct Held {
  std::string id;
  Blocks blocks;
  Duration ttl;
  Duration admitted;
  Duration last_sign;  // of life
};

// What a generation has brought so far; touched only by its own callbacks, one after the other.
struct Generated {
  int64_t tokens = 0;
  double token_time = 0;  // as in Workload::TokenTime
  Duration last = Duration::zero();
};

struct HoldEnd {
  Duration when;
  size_t request;
  friend bool operator>(const HoldEnd& a, const HoldEnd& b) { return a.when > b.when; }
};

class LiveReplay {
 public:
  LiveReplay(Client& client, const Workload& workload, const LiveReplayOptions& options,
             Tokens block_tokens)
      : client_(client),
        workload_(workload),
        options_(options),
        tally_(block_tokens),
        inbox_(std::make_shared<Inbox>()),
        start_(clock_.Now()) {}

  void Run();
  ReplayReport Report() const;

 private:
  const ReplayRequest& RequestOf(size_t i) const { return workload_.requests[i]; }
  Duration Now() const { return clock_.Now() - start_; }
  bool Done() const;
  Duration UntilNextDeadline() const;
  void SendArrivals();
  void Ask(size_t i, Duration sent, Duration max_wait);
  void TakeAnswer(size_t i, Duration sent, Duration answered, bool queued,
                  const absl::StatusOr<Answer>& answer);
  void Admit(size_t i, const Reservation& reservation, bool queued);
  void Generate(size_t i);
  void FinishGenerating(size_t i, const Generated& generated, const absl::Status& status);
  void EndHolds();
  void Release(size_t i);
  void RenewLeases();
  void Renew(std::span<const size_t> requests);
  void End(size_t i, double token_time);
  void ShowProgress();

  Client& client_;
  const Workload& workload_;
  const LiveReplayOptions& options_;
  SystemClock clock_;
  ReplayTally tally_;
  const std::shared_ptr<Inbox> inbox_;  // also the callbacks', the last of which may outlive this
  const Instant start_;

  size_t next_arrival_ = 0;
  int64_t unanswered_ = 0;  // requests sent
  int64_t releasing_ = 0;
  std::map<size_t, Held> held_;
  std::priority_queue<HoldEnd, std::vector<HoldEnd>, std::greater<>> hold_ends_;
  Duration next_renewal_ = Duration::max();
  Duration next_progress_ = Duration::zero();

  std::vector<Duration> admissions_;
  int64_t generated_tokens_ = 0;
  Duration last_token_ = Duration::zero();
  std::optional<Duration> first_admission_;
};

bool LiveReplay::Done() const {
  return next_arrival_ == workload_.requests.size() && unanswered_ == 0 && held_.empty() &&
         releasing_ == 0;
}

void LiveReplay::Run() {
  while (!Done()) {
    SendArrivals();
    EndHolds();
    RenewLeases();
    ShowProgress();
    inbox_->Run(UntilNextDeadline());
  }
}

Duration LiveReplay::UntilNextDeadline() const {
  Duration next = Now() + kLongestSleep;
  if (next_arrival_ < workload_.requests.size() && unanswered_ < kMaxUnanswered) {
    next = std::min(next, RequestOf(next_arrival_).arrival);
  }
  if (!hold_ends_.empty()) next = std::min(next, hold_ends_.top().when);
  next = std::min(next, next_renewal_);
  return std::max(Duration::zero(), next - Now());
}

void LiveReplay::SendArrivals() {
  while (next_arrival_ < workload_.requests.size() && unanswered_ < kMaxUnanswered &&
         RequestOf(next_arrival_).arrival <= Now()) {
    ++unanswered_;
    Ask(next_arrival_++, Now(), Duration::zero());
  }
}

void LiveReplay::Ask(size_t i, Duration sent, Duration max_wait) {
  const ReservationRequest request{.prompt_tokens = RequestOf(i).prompt,
                                   .max_new_tokens = RequestOf(i).output,
                                   .ttl = options_.ttl};
  client_.ReserveAsync(request, max_wait,
                       [this, inbox = inbox_, i, sent, max_wait](absl::StatusOr<Answer> answer) {
                         const Duration answered = Now();
                         inbox->Post([=, this, answer = std::move(answer)] {
                           TakeAnswer(i, sent, answered, max_wait > Duration::zero(), answer);
                         });
                       });
}

void LiveReplay::TakeAnswer(size_t i, Duration sent, Duration answered, bool queued,
                            const absl::StatusOr<Answer>& answer) {
  const Refusal* const refusal = answer.ok() ? std::get_if<Refusal>(&*answer) : nullptr;
  const bool may_wait = !queued && options_.max_wait > Duration::zero();
  if (refusal != nullptr && refusal->decision == Decision::kWait && may_wait) {
    return Ask(i, sent, options_.max_wait);
  }
  --unanswered_;
  if (!answer.ok()) return tally_.Lost(std::string(answer.status().message()));
  if (refusal != nullptr) return tally_.Refused(refusal->reason);
  admissions_.push_back(answered - sent);
  Admit(i, std::get<Reservation>(*answer), queued);
}

void LiveReplay::Admit(size_t i, const Reservation& reservation, bool queued) {
  const Duration now = Now();
  if (!first_admission_) first_admission_ = now;
  tally_.Admitted(now, RequestOf(i).prompt, reservation.blocks, queued);
  held_[i] = {reservation.id, reservation.blocks, reservation.ttl, now, now};
  if (options_.work == ReplayWork::kGenerate) return Generate(i);
  next_renewal_ = std::min(next_renewal_, now + reservation.ttl / 3);
  hold_ends_.push({now + workload_.HoldTime(RequestOf(i)), i});
}

std::vector<int32_t> RandomPrompt(uint64_t seed, size_t request, Tokens length, int32_t vocab) {
  std::mt19937_64 rng(seed ^ (request * 0x9e3779b97f4a7c15u));
  std::vector<int32_t> prompt(static_cast<size_t>(length.value()));
  for (int32_t& token : prompt) {
    token = static_cast<int32_t>(rng() % static_cast<uint64_t>(vocab));
  }
  return prompt;
}

void LiveReplay::Generate(size_t i) {
  const ReplayRequest& request = RequestOf(i);
  const GenerationRequest generation{
      .reservation_id = held_[i].id,
      .prompt = RandomPrompt(options_.seed, i, request.prompt, options_.vocab_size),
      .max_new_tokens = request.output,
      .sampling = {},
      .stop_at_eos = false};
  const auto so_far = std::make_shared<Generated>();
  client_.GenerateAsync(
      generation,
      [this, so_far, prompt = request.prompt.value()](int32_t) {
        const Duration now = Now();
        // The first token comes when the prompt is in the cache; each is added by the next step.
        if (so_far->tokens > 0) {
          so_far->token_time += static_cast<double>(prompt + so_far->tokens - 1) *
                                static_cast<double>((now - so_far->last).count());
        }
        ++so_far->tokens;
        so_far->last = now;
      },
      [this, inbox = inbox_, so_far, i](absl::StatusOr<FinishReason> finished) {
        absl::Status status = finished.status();
        if (finished.ok() && *finished == FinishReason::kCancelled) {
          status = absl::CancelledError("the server cancelled the generation");
        }
        inbox->Post([=, this] { FinishGenerating(i, *so_far, status); });
      });
}

void LiveReplay::FinishGenerating(size_t i, const Generated& generated,
                                  const absl::Status& status) {
  generated_tokens_ += generated.tokens;
  last_token_ = std::max(last_token_, generated.last);
  if (status.ok()) return End(i, generated.token_time);
  tally_.Failed(std::string(status.message()));
  Release(i);  // the generation may not have begun, and then the reservation is still ours
}

void LiveReplay::EndHolds() {
  while (!hold_ends_.empty() && hold_ends_.top().when <= Now()) {
    const size_t i = hold_ends_.top().request;
    hold_ends_.pop();
    if (held_.contains(i)) Release(i);
  }
}

void LiveReplay::Release(size_t i) {
  const bool generates = options_.work == ReplayWork::kGenerate;
  const std::string id = held_[i].id;
  End(i, generates ? 0 : workload_.TokenTime(RequestOf(i)));
  ++releasing_;
  client_.ReleaseAsync(id, RequestOf(i).total(),
                       [this, inbox = inbox_, generates](absl::Status status) {
                         inbox->Post([=, this] {
                           --releasing_;
                           if (!status.ok() && !generates)
                             tally_.Failed(std::string(status.message()));
                         });
                       });
}

// A generation is a sign of life by itself; what is only held needs one before its lease ends.
void LiveReplay::RenewLeases() {
  const Duration now = Now();
  if (now < next_renewal_) return;
  std::vector<size_t> due;
  next_renewal_ = Duration::max();
  for (const auto& [i, held] : held_) {
    if (now - held.last_sign >= held.ttl / 3) due.push_back(i);
    next_renewal_ = std::min(next_renewal_, now + held.ttl / 6);
  }
  for (std::span<const size_t> rest = due; !rest.empty();) {
    const size_t n = std::min(rest.size(), kRenewedAtOnce);
    Renew(rest.first(n));
    rest = rest.subspan(n);
  }
}

// A renewal that gets no answer is tried again at the next round.
void LiveReplay::Renew(std::span<const size_t> requests) {
  std::vector<std::string> ids;
  std::map<std::string, size_t> request_of;
  for (const size_t i : requests) {
    ids.push_back(held_[i].id);
    request_of[held_[i].id] = i;
  }
  const Duration sent = Now();
  const absl::StatusOr<Renewal> renewal = client_.Renew(ids);
  if (!renewal.ok()) return;
  for (const size_t i : requests) held_[i].last_sign = sent;
  for (const LostReservation& lost : renewal->lost) {
    tally_.Failed("the lease was lost");
    End(request_of.at(lost.id), 0);
  }
}

void LiveReplay::End(size_t i, double token_time) {
  const Held& held = held_.at(i);
  tally_.Ended(Now(), held.blocks, Now() - held.admitted, token_time);
  held_.erase(i);
}

void LiveReplay::ShowProgress() {
  if (!options_.on_progress || Now() < next_progress_) return;
  next_progress_ = Now() + kProgressInterval;
  options_.on_progress({.requests = std::ssize(workload_.requests),
                        .answered = tally_.answered(),
                        .running = tally_.running()});
}

ReplayReport LiveReplay::Report() const {
  ReplayReport report = tally_.Report();
  ServerFigures server{.admission = LatencyFiguresOf(admissions_)};
  if (options_.work == ReplayWork::kGenerate) {
    const Duration span = last_token_ - first_admission_.value_or(last_token_);
    server.generation = {.generated_tokens = generated_tokens_,
                         .tokens_per_second = span > Duration::zero()
                                                  ? static_cast<double>(generated_tokens_) /
                                                        std::chrono::duration<double>(span).count()
                                                  : 0};
  }
  report.server = server;
  return report;
}

Blocks Taken(const CapacityReport& report) {
  return report.snapshot.blocks.live + report.snapshot.blocks.reserved;
}

// The state when what was taken is back to `taken`, or when it has had time enough for that.
absl::StatusOr<CapacityReport> Settled(Client& client, Blocks taken, Duration time_to_settle) {
  const SystemClock clock;
  const Instant give_up = clock.Now() + time_to_settle;
  while (true) {
    absl::StatusOr<CapacityReport> report = client.GetCapacity();
    if (!report.ok() || Taken(*report) <= taken || clock.Now() >= give_up) return report;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

absl::StatusOr<ReplayReport> ReplayAgainst(Client& client, const Workload& workload,
                                           const LiveReplayOptions& options) {
  const absl::StatusOr<CapacityReport> before = client.GetCapacity();
  if (!before.ok()) return before.status();
  const absl::StatusOr<ServerInfo> info = client.GetServerInfo();
  if (!info.ok()) return info.status();
  LiveReplay replay(client, workload, options, before->block_tokens);
  replay.Run();
  const absl::StatusOr<CapacityReport> after =
      Settled(client, Taken(*before), options.time_to_settle);
  if (!after.ok()) return after.status();
  if (after->epoch != before->epoch) {
    return absl::FailedPreconditionError("replay: the server was restarted meanwhile");
  }
  ReplayReport report = replay.Report();
  report.seed = options.seed;
  report.total_blocks = after->snapshot.blocks.total;
  // A grant may reach us before the end that made room for it; the server never held more.
  report.peak_blocks = std::min(report.peak_blocks, report.total_blocks);
  if (Taken(*after) > Taken(*before)) report.server->leaked = Taken(*after) - Taken(*before);
  report.preempted = after->snapshot.preempted - before->snapshot.preempted;
  report.server->device = info->device;
  for (const MemoryStage& stage : info->memory) {
    report.server->memory.push_back({stage.name, stage.predicted, stage.measured});
  }
  report.server->conserved =
      before->snapshot.blocks.Conserved() && after->snapshot.blocks.Conserved();
  return report;
}

}  // namespace plimsoll
