#include "tests/rpc/reliability/service_simulation.h"

#include <algorithm>

#include "kvcache/base/check.h"
#include "rpc/claim.h"
#include "rpc/operation.h"
#include "tests/rpc/reliability/simulated_caller.h"
#include "tests/rpc/reliability/simulated_session.h"

namespace plimsoll {

using std::chrono::milliseconds;

ServiceSimulation::ServiceSimulation(const SimulationOptions& options)
    : options_(options), random_(options.seed) {
  StartLife();
  for (int i = 0; i < options_.callers; ++i) {
    clients_.push_back(std::make_unique<SimulatedCaller>(*this, i));
  }
  for (int i = 0; i < options_.sessions; ++i) {
    clients_.push_back(std::make_unique<SimulatedSession>(*this, options_.callers + i));
  }
  for (const auto& client : clients_) Later(UpTo(100), [&client] { client->Begin(); });
  Later(options_.server_life, [this] { Kill(); });
  Tick();
}

ServiceSimulation::~ServiceSimulation() = default;

std::vector<HistoryEvent> ServiceSimulation::Run() {
  while (!agenda_.empty()) {
    const auto next = agenda_.begin();
    clock_.AdvanceTo(next->first.first);
    const std::function<void()> what = std::move(next->second);
    agenda_.erase(next);
    what();
  }
  PLIMSOLL_CHECK(streams_.empty(), streams_.size());
  clock_.Advance(kTtl);
  const AdmissionSnapshot now = admission_->With([](AdmissionController& admission) {
    admission.Advance();
    return admission.Snapshot();
  });
  Record({.kind = HistoryKind::kCapacity,
          .free = now.blocks.free.value(),
          .total = now.blocks.total.value(),
          .reservations = now.reservations});
  return std::move(history_);
}

void ServiceSimulation::Later(Duration delay, std::function<void()> what) {
  agenda_.emplace(std::pair(clock_.Now() + delay, next_entry_++), std::move(what));
}

void ServiceSimulation::Record(HistoryEvent event) {
  event.at = (clock_.Now() - Instant()).count();
  history_.push_back(std::move(event));
}

void ServiceSimulation::StartLife() {
  cache_ = *KvCache::Create({.capacity = Blocks(options_.blocks)});
  const bool learns = options_.learning && lives_ > 0;
  admission_ = std::make_unique<SharedAdmission>(
      *AdmissionController::Create({.epoch = "life" + std::to_string(++lives_),
                                    .default_ttl = kTtl,
                                    .confirm_window = kConfirmWindow,
                                    .learning = learns ? Learning::kAlways : Learning::kNever},
                                   *cache_, clock_));
  sessions_ = std::make_unique<Sessions>(counts_);
  Record({.kind = HistoryKind::kServer, .started = true});
}

// Nobody says goodbye: what it knew is gone, and its streams break.
void ServiceSimulation::Kill() {
  if (over()) return;
  Record({.kind = HistoryKind::kServer, .started = false});
  for (const Stream& stream : streams_) {
    stream->cut_ = true;
    Later(UpTo(100), [this, stream] { EndAtClient(stream); });
  }
  const std::vector<Stream> streams = std::exchange(streams_, {});
  admission_.reset();
  cache_.reset();
  sessions_.reset();
  for (const Stream& stream : streams) stream->dialogue_.reset();
  Later(UpTo(300), [this] { StartLife(); });
  // Now and then it dies again while it learns.
  const Duration life = options_.server_life * (Chance(20) ? 15 : 50 + Below(100)) / 100;
  Later(milliseconds(300) + life, [this] { Kill(); });
}

// What the housekeeper of a server does, as often as it does.
void ServiceSimulation::Tick() {
  if (admission_ != nullptr) {
    admission_->With([](AdmissionController& admission) { admission.Advance(); });
  }
  const bool soon = over() && agenda_.empty();
  if (!soon) Later(milliseconds(20), [this] { Tick(); });
}

void ServiceSimulation::Send(const SimulatedClient& client, const v1::Operation& operation,
                             const Hear& hear) {
  const auto arrive = [this, &client, operation, hear] {
    if (IsCutOff(client) || admission_ == nullptr) return;
    const v1::OperationResult result = Serve(operation);
    for (const Duration delay : Deliveries()) {
      Later(delay, [this, &client, hear, result] {
        if (!IsCutOff(client)) hear(result);
      });
    }
  };
  for (const Duration delay : Deliveries()) Later(delay, arrive);
}

void ServiceSimulation::Send(const SimulatedClient& client,
                             const v1::RenewReservationsRequest& request, const HearRenewal& hear) {
  const auto arrive = [this, &client, request, hear, life = lives_] {
    // No connection outlives a server: a claim goes to the one that is to learn of it, or is lost.
    if (IsCutOff(client) || admission_ == nullptr || lives_ != life) return;
    v1::RenewReservationsResponse response;
    const absl::Status status = RenewAll(*admission_, Caller(), clock_.Now(), request, &response);
    PLIMSOLL_CHECK(status.ok(), status);
    CheckInvariants();
    for (const Duration delay : Deliveries()) {
      Later(delay, [this, &client, hear, response] {
        if (!IsCutOff(client)) hear(response);
      });
    }
  };
  for (const Duration delay : Deliveries()) Later(delay, arrive);
}

v1::OperationResult ServiceSimulation::Serve(v1::Operation operation) {
  const std::string request = operation.reserve().request_id();
  options_.spoil(operation);
  const absl::StatusOr<Action> action = ActionFrom(operation, Caller());
  PLIMSOLL_CHECK(action.ok(), action.status());
  v1::OperationResult result;
  admission_->With([&](AdmissionController& admission) {
    SetResult(operation.id(), Do(admission, *action, Caller()), clock_.Now(), &result);
  });
  CheckInvariants();
  if (operation.has_reserve() && result.has_reservation()) NoteGrant(request, result.reservation());
  return result;
}

void ServiceSimulation::NoteGrant(const std::string& request, const v1::Reservation& granted) {
  const auto [first, fresh] =
      granted_.emplace(std::pair(lives_, request), granted.reservation_id());
  if (!fresh && first->second != granted.reservation_id()) ++granted_twice_;
}

void ServiceSimulation::CheckInvariants() {
  admission_->With([](AdmissionController& admission) { admission.CheckInvariants(); });
}

void ServiceSimulation::Send(const Stream& stream, const v1::SessionRequest& request) {
  if (stream->cut_) return;
  if (request.has_hello()) stream->life_ = lives_;
  Later(InOrder(stream->last_up_), [this, stream, request] { Take(stream, request); });
}

// The server's end of a stream is made by its first message.
void ServiceSimulation::Take(const Stream& stream, v1::SessionRequest request) {
  if (stream->cut_) return;
  if (admission_ == nullptr || stream->life_ != lives_) return Cut(stream);
  if (request.has_hello()) {
    stream->dialogue_ = std::make_unique<SessionDialogue>(*admission_, *sessions_, clock_, Caller(),
                                                          [this, stream] { Wake(stream); });
    streams_.push_back(stream);
  }
  if (stream->dialogue_ == nullptr) return;
  for (v1::Operation& operation : *request.mutable_operations()) {
    if (operation.has_reserve()) asked_[operation.id()] = operation.reserve().request_id();
    options_.spoil(operation);
  }
  const absl::Status status = stream->dialogue_->Take(request);
  if (!status.ok()) stream->dialogue_->End(status);
  CheckInvariants();
  Wake(stream);
}

// A moment later, since nobody may speak who has the ledger's lock; what comes meanwhile goes
// along.
void ServiceSimulation::Wake(const Stream& stream) {
  if (std::exchange(stream->woken_, true)) return;
  Later(UpTo(3), [this, stream] {
    stream->woken_ = false;
    Speak(stream);
  });
}

void ServiceSimulation::Speak(const Stream& stream) {
  if (stream->dialogue_ == nullptr) return;
  std::string bytes;
  SessionDialogue::Turn turn = stream->dialogue_->Next(bytes);
  for (; turn == SessionDialogue::Turn::kMessage; turn = stream->dialogue_->Next(bytes)) {
    v1::SessionResponse message;
    PLIMSOLL_CHECK(message.ParseFromString(bytes));
    for (const v1::OperationResult& result : message.results()) {
      const auto asked = asked_.find(result.id());
      const bool granted = asked != asked_.end() && result.has_reservation();
      if (granted) NoteGrant(asked->second, result.reservation());
    }
    Later(InOrder(stream->last_down_), [stream, message] {
      if (!stream->cut_) stream->Hear(message);
    });
  }
  if (turn != SessionDialogue::Turn::kEnd) return;
  EndAtServer(stream, absl::OkStatus());
  Later(InOrder(stream->last_down_), [this, stream] { EndAtClient(stream); });
}

void ServiceSimulation::Cut(const Stream& stream) {
  if (std::exchange(stream->cut_, true)) return;
  Later(UpTo(400), [this, stream] { EndAtServer(stream, absl::CancelledError("cut")); });
  Later(UpTo(300), [this, stream] { EndAtClient(stream); });
}

void ServiceSimulation::Close(const Stream& stream) {
  if (stream->cut_) return;
  Later(InOrder(stream->last_up_), [this, stream] {
    if (!stream->cut_) EndAtServer(stream, absl::OkStatus());
  });
}

void ServiceSimulation::EndAtServer(const Stream& stream, const absl::Status& why) {
  if (stream->dialogue_ == nullptr) return;
  stream->dialogue_->End(why);
  stream->dialogue_.reset();
  std::erase(streams_, stream);
  CheckInvariants();
}

void ServiceSimulation::EndAtClient(const Stream& stream) {
  stream->cut_ = true;
  stream->Ended();
}

Duration ServiceSimulation::InOrder(Instant& last) {
  const Duration delay = UpTo(Chance(5) ? 200 : 20);
  last = std::max(last, Now() + delay);
  return last - Now();
}

std::vector<Duration> ServiceSimulation::Deliveries() {
  std::vector<Duration> delays;
  if (Chance(options_.lost_percent)) return delays;
  const int64_t slow = Chance(5) ? 600 : 20;  // some overtake others by far
  delays.push_back(milliseconds(Below(slow)));
  if (Chance(options_.repeated_percent)) delays.push_back(milliseconds(Below(600)));
  return delays;
}

HistoryEvent AnswerOf(int64_t client, int64_t call, const v1::OperationResult& result) {
  HistoryEvent event{.kind = HistoryKind::kAnswer, .client = client, .call = call};
  if (result.has_reservation()) {
    event.outcome = HistoryOutcome::kGranted;
    event.name = result.reservation().reservation_id();
    event.blocks = result.reservation().blocks();
  } else if (result.has_rejection()) {
    event.outcome = HistoryOutcome::kRefused;
  } else if (result.has_released()) {
    event.outcome = HistoryOutcome::kDone;
  } else {
    const auto code = static_cast<absl::StatusCode>(result.error().code());
    const bool lost = code == absl::StatusCode::kNotFound;
    PLIMSOLL_CHECK(lost || code == absl::StatusCode::kFailedPrecondition, result.error().message());
    event.outcome = lost ? HistoryOutcome::kLost : HistoryOutcome::kStale;
  }
  return event;
}

}  // namespace plimsoll
