#include <algorithm>
#include <map>

#include "tests/rpc/reliability/soak_process.h"

namespace plimsoll {
namespace {

// The tenant is that of the request, which extending does not change.
v1::RenewReservationsRequest ClaimsOf(const std::vector<SoakHeld>& held) {
  v1::RenewReservationsRequest in;
  for (const SoakHeld& each : held) {
    const v1::ReserveCapacityRequest asked = SoakReserve(each.request, each.asked_tokens);
    v1::ReservationClaim& claim = *in.add_claims();
    claim.set_reservation_id(each.id);
    claim.set_tenant(asked.tenant());
    claim.set_prompt_tokens(each.tokens);
    *claim.mutable_ttl() = asked.ttl();
    claim.set_request_id(each.request);
  }
  return in;
}

// By the names that were claimed: of this life, or of an earlier one.
std::map<std::string, HistoryEvent> EventsBy(const v1::RenewReservationsResponse& out) {
  std::map<std::string, HistoryEvent> by_name;
  for (const v1::Reservation& each : out.reservations()) {
    by_name[each.reservation_id()] = SoakGrantOf(each);
    if (!each.claimed_id().empty()) by_name[each.claimed_id()] = SoakGrantOf(each);
  }
  for (const v1::LostReservation& each : out.lost()) {
    const bool stale = each.cause() == v1::LOSS_CAUSE_STALE_EPOCH;
    by_name[each.reservation_id()] = {.outcome =
                                          stale ? HistoryOutcome::kStale : HistoryOutcome::kLost};
  }
  return by_name;
}

}  // namespace

bool ClaimAll(SoakProcess& process, std::vector<SoakHeld>& held) {
  std::erase_if(held, [](const SoakHeld& each) { return !each.Certain(); });
  if (held.empty()) return true;
  SoakRecord record(process);
  for (const SoakHeld& each : held) record.Ask(HistoryOperation::kClaim, each.id);
  const v1::RenewReservationsRequest in = ClaimsOf(held);
  v1::RenewReservationsResponse out;
  grpc::ClientContext context;
  SetSoakDeadline(context);
  const auto left = SteadyClock::now();
  record.Send();
  const grpc::Status status = process.stub->RenewReservations(&context, in, &out);
  const HistoryOutcome failed = SoakOutcomeOf(status.error_code(), status.error_message());
  const std::map<std::string, HistoryEvent> by_name = EventsBy(out);
  std::vector<HistoryEvent> answers;
  for (const SoakHeld& each : held) {
    const auto said = by_name.find(each.id);
    PLIMSOLL_CHECK(!status.ok() || said != by_name.end(), each.id);
    answers.push_back(status.ok() ? said->second : HistoryEvent{.outcome = failed});
  }
  record.Hear(answers);
  if (!status.ok()) return false;
  for (size_t i = 0; i < held.size(); ++i) {
    const bool kept = answers[i].outcome == HistoryOutcome::kGranted;
    held[i].id = kept ? answers[i].name : "";
    held[i].signed_at = left;
  }
  std::erase_if(held, [](const SoakHeld& each) { return each.id.empty(); });
  return true;
}

}  // namespace plimsoll
