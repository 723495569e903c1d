// Many operations in one call of the client.
#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/client_state.h"
#include "rpc/convert_operation.h"

namespace plimsoll {
namespace {

// Asked again they are the same requests, which are granted once.
void NameRequests(v1::BatchReserveCapacityRequest& in) {
  for (v1::Operation& operation : *in.mutable_operations()) {
    if (operation.has_reserve() && operation.reserve().request_id().empty()) {
      operation.mutable_reserve()->set_request_id(RandomRequestId());
    }
  }
}

absl::StatusOr<std::vector<Outcome>> OutcomesFrom(const v1::BatchReserveCapacityResponse& in,
                                                  size_t wanted, Instant now) {
  if (static_cast<size_t>(in.results_size()) != wanted) {
    return absl::InvalidArgumentError("results: want " + std::to_string(wanted));
  }
  std::vector<Outcome> outcomes;
  for (const v1::OperationResult& result : in.results()) {
    absl::StatusOr<Outcome> outcome = OutcomeFrom(result, now);
    if (!outcome.ok()) return outcome.status();
    outcomes.push_back(*std::move(outcome));
  }
  return outcomes;
}

Reservation* GrantIn(Outcome& outcome) {
  return outcome.ok() && outcome->has_value() ? std::get_if<Reservation>(&**outcome) : nullptr;
}

}  // namespace

absl::StatusOr<std::vector<Outcome>> Client::Call(const std::vector<Action>& actions,
                                                  bool all_or_nothing) {
  v1::BatchReserveCapacityRequest in;
  in.set_all_or_nothing(all_or_nothing);
  for (const Action& action : actions) {
    SetOperation(static_cast<uint64_t>(in.operations_size()), action, in.add_operations());
  }
  if (state_->options.retry_for > Duration::zero()) NameRequests(in);
  v1::BatchReserveCapacityResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.admission->BatchReserveCapacity(context, in, &out);
      }));
  absl::StatusOr<std::vector<Outcome>> outcomes =
      FromServer(OutcomesFrom(out, actions.size(), state_->Now()));
  if (!outcomes.ok()) return outcomes;
  PLIMSOLL_RETURN_IF_ERROR(Confirm(*outcomes));
  return outcomes;
}

// One renewal for all of them.
absl::Status Client::Confirm(std::vector<Outcome>& outcomes) {
  std::vector<std::string> ids;
  std::vector<Outcome*> granted;
  for (Outcome& outcome : outcomes) {
    const Reservation* const grant = GrantIn(outcome);
    if (grant == nullptr) continue;
    if (const absl::Status alive = CheckNotEnded(*grant); !alive.ok()) {
      outcome = alive;
      continue;
    }
    if (grant->confirmed || grant->id.empty()) continue;
    ids.push_back(grant->id);
    granted.push_back(&outcome);
  }
  if (ids.empty()) return absl::OkStatus();
  const absl::StatusOr<Renewal> renewal = Renew(ids);
  if (!renewal.ok()) return Annotate(renewal.status(), "confirming a batch");
  std::map<std::string, const Reservation*> renewed;
  for (const Reservation& its : renewal->renewed) renewed.emplace(its.id, &its);
  for (Outcome* const outcome : granted) {
    const std::string id = GrantIn(*outcome)->id;
    const auto found = renewed.find(id);
    if (found != renewed.end()) {
      *outcome = Answer(*found->second);
    } else {
      *outcome = absl::NotFoundError("reservation " + id + " ended before it was confirmed");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Outcome>> Client::Batch(const std::vector<Action>& actions) {
  return Call(actions, /*all_or_nothing=*/false);
}

// Without waiting: where that fails, leases end by themselves.
void Client::GiveBack(std::vector<Outcome>& outcomes) {
  for (Outcome& outcome : outcomes) {
    const Reservation* const grant = GrantIn(outcome);
    if (grant != nullptr) ReleaseAsync(grant->id, std::nullopt, [](auto) {});
  }
}

absl::StatusOr<BatchAnswer> Client::ReserveAll(const std::vector<ReservationRequest>& requests) {
  std::vector<Action> actions;
  for (const ReservationRequest& request : requests) {
    actions.emplace_back(ReserveAction{.request = request});
  }
  absl::StatusOr<std::vector<Outcome>> outcomes = Call(actions, /*all_or_nothing=*/true);
  if (!outcomes.ok()) return outcomes.status();
  std::vector<Reservation> granted;
  for (size_t i = 0; i < outcomes->size(); ++i) {
    Outcome& outcome = (*outcomes)[i];
    if (absl::IsAborted(outcome.status())) continue;  // because of the one that was refused
    if (!outcome.ok()) {
      GiveBack(*outcomes);
      return outcome.status();
    }
    if (const Reservation* const grant = GrantIn(outcome)) {
      granted.push_back(*grant);
    } else if (outcome->has_value()) {
      return RefusedOne{.index = i, .refusal = std::get<Refusal>(**outcome)};
    }
  }
  if (granted.size() == requests.size()) return granted;
  return absl::InternalError("bad answer from the server: some of a batch, and not all");
}

}  // namespace plimsoll
