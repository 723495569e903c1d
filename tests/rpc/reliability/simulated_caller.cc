#include "tests/rpc/reliability/simulated_caller.h"

#include "kvcache/base/check.h"

namespace plimsoll {

using std::chrono::milliseconds;

namespace {

// Of a call about one reservation.
HistoryEvent AnswerOf(int64_t client, int64_t call, const v1::RenewReservationsResponse& response) {
  HistoryEvent event{.kind = HistoryKind::kAnswer, .client = client, .call = call};
  PLIMSOLL_CHECK(response.reservations_size() + response.lost_size() == 1);
  if (response.reservations_size() == 1) {
    event.outcome = HistoryOutcome::kGranted;
    event.name = response.reservations(0).reservation_id();
    event.blocks = response.reservations(0).blocks();
  } else {
    const bool stale = response.lost(0).cause() == v1::LOSS_CAUSE_STALE_EPOCH;
    event.outcome = stale ? HistoryOutcome::kStale : HistoryOutcome::kLost;
  }
  return event;
}

}  // namespace

void SimulatedCaller::Begin() {
  if (world_.over()) return;
  if (world_.Chance(4)) cut_off_until_ = world_.Now() + world_.UpTo(3000);
  request_ = std::to_string(number_) + "." + std::to_string(++requests_);
  prompt_ = wanted_ = 1 + world_.Below(16 * 24);
  sure_until_ = world_.Now() + ServiceSimulation::kConfirmWindow;
  tries_ = 0;
  Reserve();
}

void SimulatedCaller::Reserve() {
  v1::Operation operation;
  v1::ReserveCapacityRequest& reserve = *operation.mutable_reserve();
  reserve.set_request_id(request_);
  reserve.set_tenant("tenant-" + std::to_string(number_ % 3));
  reserve.set_prompt_tokens(prompt_);
  reserve.mutable_ttl()->set_seconds(1);
  reserve.mutable_ttl()->set_nanos(500'000'000);
  Send(Ask(Step::kReserving, HistoryOperation::kReserve, request_), operation);
}

void SimulatedCaller::Extend() {
  if (world_.Chance(30)) wanted_ += world_.Below(16 * 8);
  v1::Operation operation;
  operation.mutable_extend()->set_reservation_id(id_);
  operation.mutable_extend()->set_total_tokens(wanted_);
  Send(Ask(Step::kExtending, HistoryOperation::kExtend, id_), operation);
}

void SimulatedCaller::Renew() {
  v1::RenewReservationsRequest request;
  request.add_reservation_ids(id_);
  Send(Ask(Step::kRenewing, HistoryOperation::kRenew, id_), request);
}

void SimulatedCaller::Claim() {
  v1::RenewReservationsRequest request;
  v1::ReservationClaim& claim = *request.add_claims();
  claim.set_reservation_id(id_);
  claim.set_tenant("tenant-" + std::to_string(number_ % 3));
  claim.set_prompt_tokens(prompt_);
  claim.set_max_new_tokens(held_ - prompt_);
  claim.mutable_ttl()->set_seconds(1);
  claim.mutable_ttl()->set_nanos(500'000'000);
  claim.set_request_id(request_);
  Send(Ask(Step::kClaiming, HistoryOperation::kClaim, id_), request);
}

void SimulatedCaller::Release() {
  v1::Operation operation;
  operation.mutable_release()->set_reservation_id(id_);
  Send(Ask(Step::kReleasing, HistoryOperation::kRelease, id_), operation);
}

void SimulatedCaller::Hold() {
  const Duration rest = world_.UpTo(400);
  const int64_t what = world_.Below(100);
  tries_ = 0;
  if (what < 4) return Pause();
  world_.Later(rest, [this, what] {
    if (what < 40) return Extend();
    what < 65 ? Renew() : Release();
  });
}

void SimulatedCaller::Pause() {
  world_.Later(world_.UpTo(200), [this] { Begin(); });
}

int64_t SimulatedCaller::Ask(Step step, HistoryOperation operation, const std::string& name) {
  step_ = step;
  asked_ = world_.Now();
  const int64_t call = call_ = world_.NextCall();
  world_.Record({.kind = HistoryKind::kSend,
                 .client = number_,
                 .call = call,
                 .operation = operation,
                 .name = name,
                 .ttl = ServiceSimulation::kTtl.count()});
  world_.Later(ServiceSimulation::kPatience, [this, call] { GiveUp(call); });
  return call;
}

void SimulatedCaller::Send(int64_t call, const v1::Operation& operation) {
  world_.Send(*this, operation, [this, call](const v1::OperationResult& result) {
    if (call == call_) Heard(plimsoll::AnswerOf(number_, call, result));
  });
}

void SimulatedCaller::Send(int64_t call, const v1::RenewReservationsRequest& request) {
  world_.Send(*this, request, [this, call](const v1::RenewReservationsResponse& response) {
    if (call == call_) Heard(AnswerOf(number_, call, response));
  });
}

void SimulatedCaller::Heard(const HistoryEvent& answer) {
  call_ = 0;
  world_.Record(answer);
  const bool claims = world_.options().learning && step_ != Step::kReserving &&
                      step_ != Step::kReleasing && step_ != Step::kClaiming &&
                      world_.Now() < sure_until_;
  if (answer.outcome == HistoryOutcome::kStale && claims) return Claim();
  if (answer.outcome != HistoryOutcome::kGranted) return Pause();
  id_ = answer.name;
  if (step_ == Step::kReserving) held_ = prompt_;
  if (step_ != Step::kReserving) sure_until_ = asked_ + ServiceSimulation::kTtl;
  if (step_ == Step::kExtending) held_ = std::max(held_, wanted_);
  wanted_ = std::max(wanted_, held_);
  Hold();
}

void SimulatedCaller::GiveUp(int64_t call) {
  if (call != call_) return;
  call_ = 0;
  world_.Record({.kind = HistoryKind::kAnswer, .client = number_, .call = call});
  if (++tries_ >= 4) return Pause();
  if (step_ == Step::kReserving) return Reserve();
  if (step_ == Step::kReleasing) return Release();
  if (step_ == Step::kClaiming && world_.Now() < sure_until_) return Claim();
  Pause();
}

}  // namespace plimsoll
