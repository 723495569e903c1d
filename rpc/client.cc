#include "rpc/client.h"

#include <algorithm>
#include <utility>

#include "absl/synchronization/notification.h"
#include "kvcache/base/errors.h"
#include "rpc/address.h"
#include "rpc/claim.h"
#include "rpc/client_state.h"
#include "rpc/convert_admin.h"
#include "rpc/convert_generation.h"
#include "rpc/library_logs.h"

namespace plimsoll {

namespace {

// An asynchronous call. Its callback owns it, so that it is over when the callback is.
template <class Request, class Response, class Handler>
struct UnaryCall {
  UnaryCall(ClientCalls& calls, bool may_take_long) : flight(calls, may_take_long) {}

  CallInFlight flight;
  Request request;
  Response response;
  Handler done;
};
using ReserveCall =
    UnaryCall<wire::ReserveCapacityRequest, wire::ReserveCapacityResponse, Client::AnswerHandler>;
using ReleaseCall = UnaryCall<wire::ReleaseReservationRequest, wire::ReleaseReservationResponse,
                              Client::StatusHandler>;
using ConfirmCall = UnaryCall<wire::RenewReservationsRequest, wire::RenewReservationsResponse,
                              Client::StatusHandler>;

wire::RenewReservationsRequest RenewalOf(const std::vector<std::string>& ids,
                                         const std::vector<ReservationClaim>& claims = {}) {
  wire::RenewReservationsRequest request;
  for (const std::string& id : ids) request.add_reservation_ids(id);
  for (const ReservationClaim& claim : claims) *request.add_claims() = ToWire(claim);
  return request;
}

wire::ReleaseReservationRequest ReleaseOf(const std::string& id,
                                          std::optional<Tokens> used_tokens) {
  wire::ReleaseReservationRequest request;
  request.set_reservation_id(id);
  if (used_tokens) request.set_used_tokens(used_tokens->value());
  return request;
}

// One Generate call on the client's side; owns itself until it is over.
class GenerationCall final : public grpc::ClientReadReactor<wire::GenerateResponse> {
 public:
  using End = std::function<void(grpc::Status, absl::StatusOr<FinishReason>)>;

  GenerationCall(ClientCalls& calls, const GenerationRequest& request,
                 std::function<void(int32_t)> on_token, End end)
      : flight_(calls, /*may_take_long=*/true),
        request_(ToWire(request)),
        on_token_(std::move(on_token)),
        end_(std::move(end)) {}

  grpc::ClientContext* context() { return flight_.context(); }
  void Start() {
    flight_.connection().generation->async()->Generate(context(), &request_, this);
    StartRead(&message_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    for (const int32_t token : message_.tokens().token_ids()) on_token_(token);
    if (message_.event_case() == wire::GenerateResponse::kFinishReason) {
      reason_ = FromServer(FromWire(message_.finish_reason()));
    }
    StartRead(&message_);
  }
  void OnDone(const grpc::Status& status) override {
    end_(status, reason_);
    delete this;
  }

 private:
  CallInFlight flight_;
  wire::GenerateRequest request_;
  wire::GenerateResponse message_;
  absl::StatusOr<FinishReason> reason_ = absl::InternalError("the stream ended without a reason");
  std::function<void(int32_t)> on_token_;
  End end_;
};

}  // namespace

std::string Describe(const LostReservation& lost) {
  if (lost.stale_epoch) return "STALE_EPOCH: " + lost.id + " is of another server life";
  if (lost.no_room) return lost.id + " does not fit what is left of the server's pool";
  return "no reservation " + lost.id + (lost.revoked ? ": it was revoked" : "");
}

absl::StatusOr<std::unique_ptr<Client>> Client::Create(const ClientOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(Annotate(CheckAddress(options.server), "server"));
  SilenceLibraries();
  auto state = std::make_unique<State>(options);
  PLIMSOLL_RETURN_IF_ERROR(state->calls.status());
  return std::unique_ptr<Client>(new Client(std::move(state)));
}

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::~Client() { Close(); }
void Client::Close() { state_->calls.CancelAll(); }

// With a request_id what is asked again is the same request, which is granted once.
absl::StatusOr<Answer> Client::ReserveUnconfirmed(ReservationRequest request, Duration max_wait) {
  Attempts attempts(state_->options.retry_for, state_->NextSeed());
  if (attempts.allowed() && request.request_id.empty()) {
    request.request_id = RandomRequestId();
  }
  const Instant start = state_->Now();
  while (true) {
    absl::Notification answered;
    absl::StatusOr<Answer> answer = absl::UnknownError("");
    const Duration waited = state_->Now() - start;
    ReserveUnconfirmedAsync(request, std::max(max_wait - waited, Duration::zero()),
                            [&](absl::StatusOr<Answer> result) {
                              answer = std::move(result);
                              answered.Notify();
                            });
    answered.WaitForNotification();
    const auto* const refusal = answer.ok() ? std::get_if<Refusal>(&*answer) : nullptr;
    const bool again = refusal != nullptr && state_->options.retry_waits
                           ? attempts.Again(*refusal)
                           : attempts.Again(answer.status());
    if (!again) return answer;
  }
}

absl::StatusOr<Answer> Client::Reserve(const ReservationRequest& request, Duration max_wait) {
  absl::StatusOr<Answer> answer = ReserveUnconfirmed(request, max_wait);
  if (!answer.ok()) return answer;
  const auto* const granted = std::get_if<Reservation>(&*answer);
  if (granted == nullptr) return answer;
  PLIMSOLL_RETURN_IF_ERROR(CheckNotEnded(*granted));
  const absl::StatusOr<Renewal> renewal = Renew({granted->id});
  if (!renewal.ok()) return Annotate(renewal.status(), "confirming " + granted->id);
  if (renewal->renewed.empty()) {
    return absl::NotFoundError("reservation " + granted->id + " ended before it was confirmed");
  }
  return renewal->renewed.front();
}

absl::StatusOr<Answer> Client::CanAdmit(const ReservationRequest& request) {
  wire::ReserveCapacityRequest in = ToWire(request);
  in.set_validate_only(true);
  wire::ReserveCapacityResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.admission->ReserveCapacity(context, in, &out);
      }));
  return FromServer(OutcomeFrom(out, state_->Now()));
}

absl::StatusOr<Answer> Client::Extend(const std::string& id, Tokens total_tokens) {
  wire::ExtendReservationRequest in;
  in.set_reservation_id(id);
  in.set_total_tokens(total_tokens.value());
  wire::ExtendReservationResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.admission->ExtendReservation(context, in, &out);
      }));
  return FromServer(OutcomeFrom(out, state_->Now()));
}

absl::StatusOr<Renewal> Client::Renew(const std::vector<std::string>& ids,
                                      const std::vector<ReservationClaim>& claims) {
  const wire::RenewReservationsRequest in = RenewalOf(ids, claims);
  wire::RenewReservationsResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.admission->RenewReservations(context, in, &out);
      }));
  return FromServer(FromWire(out, state_->Now()));
}

absl::Status Client::Release(const std::string& id, std::optional<Tokens> used_tokens) {
  wire::ReleaseReservationResponse out;
  return state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
    return connection.admission->ReleaseReservation(context, ReleaseOf(id, used_tokens), &out);
  });
}

absl::StatusOr<CapacityReport> Client::GetCapacity() {
  wire::GetCapacityResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.capacity->GetCapacity(context, {}, &out);
      }));
  return FromServer(FromWire(out.capacity()));
}

absl::StatusOr<ServerInfo> Client::GetServerInfo() {
  wire::GetServerInfoResponse out;
  PLIMSOLL_RETURN_IF_ERROR(
      state_->Blocking([&](Connection& connection, grpc::ClientContext* context) {
        return connection.admin->GetServerInfo(context, {}, &out);
      }));
  return FromServer(FromWire(out));
}

// It waits for the end of a step, and then for copies of what moves.
absl::StatusOr<PoolResized> Client::ResizePool(const PoolSize& size) {
  constexpr Duration kStepAndCopies = std::chrono::minutes(1);
  const wire::ResizePoolRequest in = ToWire(size);
  wire::ResizePoolResponse out;
  PLIMSOLL_RETURN_IF_ERROR(state_->Blocking(
      [&](Connection& connection, grpc::ClientContext* context) {
        return connection.admin->ResizePool(context, in, &out);
      },
      kStepAndCopies));
  return FromServer(FromWire(out));
}

absl::Status Client::WatchCapacity(Duration min_interval,
                                   const std::function<bool(const CapacityReport&)>& on_report) {
  wire::WatchCapacityRequest in;
  *in.mutable_min_interval() = ToWire(min_interval);
  wire::WatchCapacityResponse out;
  CallInFlight flight(state_->calls, /*may_take_long=*/true);
  const auto reader = flight.connection().capacity->WatchCapacity(flight.context(), in);
  absl::Status fault;
  bool wanted = true;
  while (wanted && reader->Read(&out)) {
    const absl::StatusOr<CapacityReport> report = FromServer(FromWire(out.capacity()));
    fault = report.status();
    wanted = report.ok() && on_report(*report);
  }
  if (!wanted) flight.context()->TryCancel();
  const grpc::Status end = reader->Finish();
  return wanted ? state_->Outcome(end) : fault;
}

absl::StatusOr<FinishReason> Client::Generate(const GenerationRequest& request,
                                              const std::function<void(int32_t)>& on_token) {
  absl::Notification over;
  absl::StatusOr<FinishReason> reason = absl::UnknownError("");
  GenerateAsync(request, on_token, [&](absl::StatusOr<FinishReason> result) {
    reason = std::move(result);
    over.Notify();
  });
  over.WaitForNotification();
  return reason;
}

void Client::ReserveUnconfirmedAsync(const ReservationRequest& request, Duration max_wait,
                                     AnswerHandler done) {
  auto* const call = new ReserveCall(state_->calls, max_wait > Duration::zero());
  call->request = ToWire(request);
  *call->request.mutable_max_wait() = ToWire(max_wait);
  call->done = std::move(done);
  state_->SetDeadline(*call->flight.context(), max_wait);
  call->flight.connection().admission->async()->ReserveCapacity(
      call->flight.context(), &call->request, &call->response,
      [state = state_.get(), call](grpc::Status status) {
        const std::unique_ptr<ReserveCall> owned(call);
        if (!status.ok()) return owned->done(state->Outcome(status));
        owned->done(FromServer(OutcomeFrom(owned->response, state->Now())));
      });
}

void Client::ReserveAsync(const ReservationRequest& request, Duration max_wait,
                          AnswerHandler done) {
  ReserveUnconfirmedAsync(
      request, max_wait, [this, done = std::move(done)](absl::StatusOr<Answer> answer) {
        const auto* const granted = answer.ok() ? std::get_if<Reservation>(&*answer) : nullptr;
        const absl::Status alive = granted == nullptr ? absl::OkStatus() : CheckNotEnded(*granted);
        if (!alive.ok()) return done(alive);
        if (granted != nullptr) state_->ConfirmAsync(granted->id);
        done(std::move(answer));
      });
}

void Client::State::ConfirmAsync(const std::string& id) {
  auto* const call = new ConfirmCall(calls, /*may_take_long=*/false);
  call->request = RenewalOf({id});
  SetDeadline(*call->flight.context());
  // What became of it shows in the caller's next renewal.
  call->flight.connection().admission->async()->RenewReservations(
      call->flight.context(), &call->request, &call->response,
      [call](grpc::Status) { delete call; });
}

void Client::ReleaseAsync(const std::string& id, std::optional<Tokens> used_tokens,
                          StatusHandler done) {
  auto* const call = new ReleaseCall(state_->calls, /*may_take_long=*/false);
  call->request = ReleaseOf(id, used_tokens);
  call->done = std::move(done);
  state_->SetDeadline(*call->flight.context());
  call->flight.connection().admission->async()->ReleaseReservation(
      call->flight.context(), &call->request, &call->response,
      [state = state_.get(), call](grpc::Status status) {
        const std::unique_ptr<ReleaseCall> owned(call);
        owned->done(state->Outcome(status));
      });
}

int64_t Client::GenerateAsync(const GenerationRequest& request,
                              std::function<void(int32_t)> on_token, FinishHandler done) {
  State* const state = state_.get();
  absl::MutexLock lock(&state->mutex);
  const int64_t ticket = ++state->last_ticket;
  auto* const call =
      new GenerationCall(state->calls, request, std::move(on_token),
                         [state, ticket, done = std::move(done)](
                             const grpc::Status& status, absl::StatusOr<FinishReason> reason) {
                           {
                             absl::MutexLock ended(&state->mutex);
                             state->generations.erase(ticket);
                           }
                           done(status.ok() ? std::move(reason) : state->Outcome(status));
                         });
  state->generations.emplace(ticket, call->context());
  call->Start();
  return ticket;
}

void Client::Cancel(int64_t generation_ticket) {
  absl::MutexLock lock(&state_->mutex);
  const auto found = state_->generations.find(generation_ticket);
  if (found != state_->generations.end()) found->second->TryCancel();
}

}  // namespace plimsoll
