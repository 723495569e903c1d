#include "tests/rpc/reliability/simulated_session.h"

#include <algorithm>
#include <set>
#include <utility>

#include "kvcache/base/check.h"
#include "rpc/convert.h"

namespace plimsoll {

using std::chrono::milliseconds;

namespace {

bool HasEnded(const v1::Reservation& reservation) {
  return reservation.remaining().seconds() == 0 && reservation.remaining().nanos() == 0;
}

}  // namespace

// The client's end of one connection.
class SimulatedSession::Stream final : public SimulatedStream {
 public:
  explicit Stream(SimulatedSession& session) : session_(session) {}
  void Hear(const v1::SessionResponse& response) override {
    if (session_.stream_.get() == this) session_.Hear(response);
  }
  void Ended() override {
    if (session_.stream_.get() == this) session_.Lost();
  }

 private:
  SimulatedSession& session_;
};

SimulatedSession::SimulatedSession(ServiceSimulation& world, int64_t number)
    : world_(world), number_(number) {}

std::string SimulatedSession::tenant() const {
  const SimulationOptions& options = world_.options();
  if (!options.crowd) return "tenant-" + std::to_string(number_ % 3);
  return number_ + 1 == options.callers + options.sessions ? "alone" : "crowd";
}

void SimulatedSession::Connect() {
  if (stream_ != nullptr || world_.over()) return;
  if (world_.IsCutOff(*this)) return world_.Later(world_.UpTo(300), [this] { Connect(); });
  if (world_.Now() >= kept_until_) {  // another may have it by now
    for (Job& job : jobs_) {
      if (!job.id.empty()) Forget(job);
    }
  }
  stream_ = std::make_shared<Stream>(*this);
  welcomed_ = false;
  greeted_ = world_.Now();
  v1::SessionRequest request;
  *request.mutable_hello() = Greeting();
  world_.Send(stream_, request);
  world_.Later(milliseconds(500) + world_.UpTo(3000), [this, stream = stream_] {
    if (stream_ == stream) Break();
  });
  // Who is not welcomed in time tries again.
  world_.Later(milliseconds(700), [this, stream = stream_] {
    if (stream_ == stream && !welcomed_) world_.Cut(stream_);
  });
}

// A stream lives for some seconds: then it is cut, for a while or a moment, or the client goes.
void SimulatedSession::Break() {
  const int64_t what = world_.Below(100);
  if (world_.over() || what < 10) return Leave();
  if (what < 50) cut_off_until_ = world_.Now() + world_.UpTo(what < 30 ? 3000 : 100);
  world_.Cut(stream_);
}

// For good, in order: what it holds lives for the session's ttl.
void SimulatedSession::Leave() {
  world_.Close(stream_);
  Lost();
  for (Job& job : jobs_) Forget(job);
  token_.clear();
}

v1::Hello SimulatedSession::Greeting() {
  v1::Hello hello;
  hello.set_resume_token(token_);
  *hello.mutable_ttl() = ToWire(ServiceSimulation::kTtl);
  for (const Job& job : jobs_) {
    if (job.id.empty() || !claims_all_) continue;
    v1::ReservationClaim& claim = *hello.add_claims();
    claim.set_reservation_id(job.id);
    claim.set_tenant(tenant());
    claim.set_prompt_tokens(job.prompt);
    claim.set_max_new_tokens(job.held - job.prompt);
    *claim.mutable_ttl() = ToWire(ServiceSimulation::kTtl);
    claim.set_request_id(job.request);
    claims_[job.id] = RecordSend(HistoryOperation::kClaim, job.id, Duration::zero());
  }
  return hello;
}

void SimulatedSession::Hear(const v1::SessionResponse& response) {
  if (response.has_welcome()) Welcomed(response.welcome());
  for (const v1::OperationResult& result : response.results()) Result(result);
  for (const std::string& id : response.revoked_ids()) Revoked(id);
}

// Of a grant that it never heard of it does not hear the end either.
void SimulatedSession::Revoked(const std::string& id) {
  for (Job& job : jobs_) {
    if (job.id != id) continue;
    RecordLost(id);
    Start(job);
  }
}

void SimulatedSession::Welcomed(const v1::Welcome& welcome) {
  PLIMSOLL_CHECK(!welcome.more());
  token_ = welcome.resume_token();
  const bool holds =
      std::any_of(jobs_.begin(), jobs_.end(), [](const Job& job) { return !job.id.empty(); });
  if (!claims_all_ && !welcome.resumed() && holds) {  // a ledger that must be told
    claims_all_ = true;
    return world_.Cut(stream_);
  }
  welcomed_ = true;
  claims_all_ ? TakeClaimed(welcome) : TakeResumed(welcome);
  claims_all_ = world_.Chance(70);
  RecordKept(greeted_);
  for (Job& job : jobs_) Continue(job);
}

void SimulatedSession::TakeClaimed(const v1::Welcome& welcome) {
  std::map<std::string, HistoryEvent> answers;  // by what was claimed
  for (const v1::Reservation& held : welcome.reservations()) {
    const std::string& id = held.claimed_id().empty() ? held.reservation_id() : held.claimed_id();
    answers[id] = {.outcome = HistoryOutcome::kGranted,
                   .name = held.reservation_id(),
                   .blocks = held.blocks()};
  }
  for (const v1::LostReservation& lost : welcome.lost()) {
    const bool stale = lost.cause() == v1::LOSS_CAUSE_STALE_EPOCH;
    answers[lost.reservation_id()].outcome = stale ? HistoryOutcome::kStale : HistoryOutcome::kLost;
  }
  for (Job& job : jobs_) {
    const auto claimed = claims_.extract(job.id);
    if (!claimed) continue;
    HistoryEvent& answer = answers[job.id];
    if (answer.outcome == HistoryOutcome::kFailed) answer.outcome = HistoryOutcome::kLost;
    RecordAnswer(answer, claimed.mapped());
    job.id = answer.outcome == HistoryOutcome::kGranted ? answer.name : "";
    if (job.id.empty() && job.step != Step::kReserving) Forget(job);
  }
}

// What is not there any more has ended.
void SimulatedSession::TakeResumed(const v1::Welcome& welcome) {
  std::set<std::string> held;
  for (const v1::Reservation& each : welcome.reservations()) held.insert(each.reservation_id());
  for (Job& job : jobs_) {
    if (job.id.empty() || held.contains(job.id)) continue;
    RecordLost(job.id);
    Forget(job);
  }
}

void SimulatedSession::Result(const v1::OperationResult& result) {
  const auto sent = sent_.extract(static_cast<int64_t>(result.id()));
  PLIMSOLL_CHECK(static_cast<bool>(sent), result.id());
  Job& job = *sent.mapped().job;
  const HistoryEvent answer = AnswerOf(number_, sent.key(), result);
  RecordAnswer(answer, sent.key());
  if (job.call != sent.key()) return;  // it has begun anew since
  const Step step = job.step;
  const bool released = step == Step::kReleasing;
  if (answer.outcome == HistoryOutcome::kGranted && HasEnded(result.reservation())) {
    job.id.clear();  // granted once, when nobody heard of it
  } else if (answer.outcome == HistoryOutcome::kGranted) {
    job.id = answer.name;
    job.held = std::max(job.held, step == Step::kReserving ? job.prompt : job.wanted);
  } else if (answer.outcome != HistoryOutcome::kRefused || released) {
    job.id.clear();
  }
  RecordKept(sent.mapped().at);
  job.call = 0;
  if (!job.id.empty()) return Hold(job);
  job.step = Step::kIdle;
  After(world_.UpTo(200), job, &SimulatedSession::Start);
}

void SimulatedSession::Lost() {
  stream_ = nullptr;
  welcomed_ = false;
  for (const auto& [call, sent] : std::exchange(sent_, {})) {
    RecordAnswer({.outcome = HistoryOutcome::kFailed}, call);
    sent.job->call = 0;
    // Whatever became of a release, it is not claimed any more.
    if (sent.job->step == Step::kReleasing) Forget(*sent.job);
  }
  for (const auto& [id, call] : std::exchange(claims_, {})) {
    RecordAnswer({.outcome = HistoryOutcome::kFailed}, call);
  }
  world_.Later(world_.UpTo(500), [this] { Connect(); });
}

void SimulatedSession::Forget(Job& job) {
  ++job.turn;
  job.step = Step::kIdle;
  job.call = 0;
  job.id.clear();
}

void SimulatedSession::Start(Job& job) {
  Forget(job);
  if (world_.over()) return;
  job.request = std::to_string(number_) + "." + std::to_string(++requests_);
  job.prompt = job.wanted = 1 + world_.Below(16 * (world_.options().crowd ? 4 : 16));
  job.held = 0;
  job.max_wait = world_.Chance(70) ? milliseconds(200) + world_.UpTo(4000) : Duration::zero();
  Reserve(job);
}

// Where it stood when the stream broke.
void SimulatedSession::Continue(Job& job) {
  switch (job.step) {
    case Step::kIdle:
      return Start(job);
    case Step::kReserving:
      return Reserve(job);
    case Step::kHolding:
      return world_.Chance(50) ? Next(job) : Hold(job);
    case Step::kExtending:
      return Extend(job);
    case Step::kReleasing:
      PLIMSOLL_CHECK(false, job.id);  // forgotten with the stream
  }
}

void SimulatedSession::After(Duration rest, Job& job, void (SimulatedSession::*what)(Job&)) {
  world_.Later(rest, [this, &job, what, turn = ++job.turn] {
    if (job.turn == turn && welcomed_) (this->*what)(job);
  });
}

void SimulatedSession::Reserve(Job& job) {
  v1::Operation operation;
  v1::ReserveCapacityRequest& reserve = *operation.mutable_reserve();
  reserve.set_request_id(job.request);
  reserve.set_tenant(tenant());
  reserve.set_prompt_tokens(job.prompt);
  *reserve.mutable_ttl() = ToWire(ServiceSimulation::kTtl);
  *reserve.mutable_max_wait() = ToWire(job.max_wait);
  Ask(job, Step::kReserving, HistoryOperation::kReserve, std::move(operation));
}

void SimulatedSession::Extend(Job& job) {
  v1::Operation operation;
  operation.mutable_extend()->set_reservation_id(job.id);
  operation.mutable_extend()->set_total_tokens(job.wanted);
  Ask(job, Step::kExtending, HistoryOperation::kExtend, std::move(operation));
}

void SimulatedSession::Release(Job& job) {
  v1::Operation operation;
  operation.mutable_release()->set_reservation_id(job.id);
  Ask(job, Step::kReleasing, HistoryOperation::kRelease, std::move(operation));
}

// Now and then far longer than a lease, with no sign of life but the stream.
void SimulatedSession::Hold(Job& job) {
  job.step = Step::kHolding;
  if (world_.options().crowd) return After(world_.UpTo(60), job, &SimulatedSession::Release);
  After(world_.UpTo(world_.Chance(10) ? 4000 : 400), job, &SimulatedSession::Next);
}

void SimulatedSession::Next(Job& job) {
  if (world_.Chance(60) && !world_.over()) {
    job.wanted = std::max(job.wanted, job.held) + world_.Below(16 * 6);
    return Extend(job);
  }
  Release(job);
}

void SimulatedSession::Ask(Job& job, Step step, HistoryOperation operation, v1::Operation message) {
  ++job.turn;
  job.step = step;
  const bool reserves = step == Step::kReserving;
  job.call = RecordSend(operation, reserves ? job.request : job.id,
                        reserves ? job.max_wait : Duration::zero());
  sent_[job.call] = {.at = world_.Now(), .job = &job};
  message.set_id(static_cast<uint64_t>(job.call));
  v1::SessionRequest request;
  *request.add_operations() = std::move(message);
  world_.Send(stream_, request);
}

int64_t SimulatedSession::RecordSend(HistoryOperation operation, const std::string& name,
                                     Duration max_wait) {
  const int64_t call = world_.NextCall();
  world_.Record({.kind = HistoryKind::kSend,
                 .client = number_,
                 .call = call,
                 .operation = operation,
                 .name = name,
                 .ttl = ServiceSimulation::kTtl.count(),
                 .max_wait = max_wait.count()});
  return call;
}

void SimulatedSession::RecordAnswer(HistoryEvent answer, int64_t call) {
  answer.kind = HistoryKind::kAnswer;
  answer.client = number_;
  answer.call = call;
  world_.Record(std::move(answer));
}

void SimulatedSession::RecordLost(const std::string& id) {
  world_.Record({.kind = HistoryKind::kTold,
                 .client = number_,
                 .outcome = HistoryOutcome::kLost,
                 .name = id});
}

void SimulatedSession::RecordKept(Instant since) {
  kept_until_ = std::max(kept_until_, since + ServiceSimulation::kTtl);
  for (const Job& job : jobs_) {
    if (job.id.empty()) continue;
    world_.Record({.kind = HistoryKind::kTold,
                   .client = number_,
                   .outcome = HistoryOutcome::kGranted,
                   .name = job.id,
                   .ttl = ServiceSimulation::kTtl.count(),
                   .since = (since - Instant()).count()});
  }
}

}  // namespace plimsoll
