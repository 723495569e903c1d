#include "rpc/operator_client.h"

#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/address.h"
#include "rpc/bounds.h"
#include "rpc/client_calls.h"
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
    const absl::Status outcome = FromGrpc(call(flight.connection(), flight.context()));
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
  return std::unique_ptr<OperatorClient>(new OperatorClient(std::make_unique<State>(options)));
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

}  // namespace plimsoll
