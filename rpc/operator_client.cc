#include "rpc/operator_client.h"

#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/address.h"
#include "rpc/bounds.h"
#include "rpc/client_calls.h"
#include "rpc/convert.h"
#include "rpc/convert_listing.h"
#include "rpc/library_logs.h"
#include "rpc/status.h"

namespace plimsoll {
namespace {

// What a server should never send is its fault, not the caller's.
absl::Status BadAnswer(const absl::Status& status) {
  return absl::InternalError("bad answer from the server: " + std::string(status.message()));
}

}  // namespace

struct OperatorClient::State {
  explicit State(const ClientOptions& options_in) : options(options_in), calls(options_in) {}

  // A call that blocks: `call` is given the connection's stubs and a context.
  template <class Call>
  absl::Status Blocking(Call call) {
    CallInFlight flight(calls, /*may_take_long=*/false);
    flight.context()->set_deadline(
        std::chrono::system_clock::now() +
        std::chrono::duration_cast<std::chrono::system_clock::duration>(options.call_timeout));
    return Outcome(call(flight.connection(), flight.context()));
  }

  absl::Status Outcome(const grpc::Status& status) const {
    const absl::Status outcome = FromGrpc(status);
    if (!absl::IsUnavailable(outcome)) return outcome;
    return Annotate(outcome, "no server at " + options.server);
  }

  const ClientOptions options;
  ClientCalls calls;
};

OperatorClient::OperatorClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
OperatorClient::~OperatorClient() { state_->calls.CancelAll(); }

absl::StatusOr<std::unique_ptr<OperatorClient>> OperatorClient::Create(
    const ClientOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(Annotate(CheckAddress(options.server), "server"));
  SilenceLibraries();
  auto state = std::make_unique<State>(options);
  PLIMSOLL_RETURN_IF_ERROR(state->calls.status());
  return std::unique_ptr<OperatorClient>(new OperatorClient(std::move(state)));
}

absl::StatusOr<HeldAtDrain> OperatorClient::Drain() {
  v1::DrainResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.admin->Drain(context, {}, &out);
      }));
  Bounds bounds;
  const HeldAtDrain held{.reservations = bounds.CountIn("reservations", out.reservations()),
                         .blocks = bounds.BlocksIn("held_blocks", out.held_blocks())};
  if (!bounds.status().ok()) return BadAnswer(bounds.status());
  return held;
}

absl::Status OperatorClient::Resume() {
  v1::ResumeResponse out;
  return state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
    return connection.admin->Resume(context, {}, &out);
  });
}

absl::StatusOr<Revocation> OperatorClient::Revoke(const std::string& reservation_id) {
  v1::RevokeReservationRequest in;
  in.set_reservation_id(reservation_id);
  v1::RevokeReservationResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.admin->RevokeReservation(context, in, &out);
      }));
  Bounds bounds;
  const Revocation revocation{.blocks = bounds.BlocksIn("blocks", out.blocks()),
                              .stopping = out.stopping()};
  if (!bounds.status().ok()) return BadAnswer(bounds.status());
  return revocation;
}

absl::StatusOr<ReservationPage> OperatorClient::ListReservations(const PageWanted& page,
                                                                 const HoldingFilter& filter) {
  const v1::ListReservationsRequest in = ToWire(page, filter);
  v1::ListReservationsResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.capacity->ListReservations(context, in, &out);
      }));
  absl::StatusOr<ReservationPage> answer = FromWire(out);
  if (!answer.ok()) return BadAnswer(answer.status());
  return answer;
}

absl::StatusOr<TenantPage> OperatorClient::ListTenants(const PageWanted& page) {
  v1::ListTenantsRequest in;
  in.set_page_size(static_cast<int32_t>(page.size));
  in.set_page_token(page.token);
  v1::ListTenantsResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.capacity->ListTenants(context, in, &out);
      }));
  absl::StatusOr<TenantPage> answer = FromWire(out);
  if (!answer.ok()) return BadAnswer(answer.status());
  return answer;
}

absl::StatusOr<PlanAnswer> OperatorClient::Plan(const PlanQuery& query) {
  const v1::PlanCapacityRequest in = ToWire(query);
  v1::PlanCapacityResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.capacity->PlanCapacity(context, in, &out);
      }));
  absl::StatusOr<PlanAnswer> answer = FromWire(out);
  if (!answer.ok()) return BadAnswer(answer.status());
  return answer;
}

absl::Status OperatorClient::Watch(const WatchWanted& wanted,
                                   const std::function<bool(const CapacityReport*)>& on_message) {
  v1::WatchCapacityRequest in;
  *in.mutable_min_interval() = ToWire(wanted.min_interval);
  *in.mutable_heartbeat_interval() = ToWire(wanted.heartbeat);
  in.set_epoch(wanted.epoch);
  in.set_start_revision(wanted.revision);
  v1::WatchCapacityResponse out;
  CallInFlight flight(state_->calls, /*may_take_long=*/true);
  const auto reader = flight.connection().capacity->WatchCapacity(flight.context(), in);
  absl::Status fault;
  bool go_on = true;
  while (go_on && reader->Read(&out)) {
    if (!out.has_capacity()) {
      go_on = on_message(nullptr);
      continue;
    }
    const absl::StatusOr<CapacityReport> report = FromWire(out.capacity());
    if (!report.ok()) fault = BadAnswer(report.status());
    go_on = report.ok() && on_message(&*report);
  }
  if (!go_on) flight.context()->TryCancel();
  const grpc::Status end = reader->Finish();
  return go_on ? state_->Outcome(end) : fault;
}

void OperatorClient::Cancel() { state_->calls.CancelAll(); }

}  // namespace plimsoll
