// Calls of every method but the streams that last, in any order, by callers who come and go while
// leases run out: what the endpoints do with messages that any bytes choose. After each step the
// ledger is conserved, callers together hold no more than there is, and what was answered is an
// answer; in the end everything comes back.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/inference_plan.h"
#include "tests/fuzz/direct_call.h"
#include "tests/fuzz/driven_service.h"
#include "tests/fuzz/judge.h"
#include "tests/fuzz/small_model.h"
#include "tests/fuzz/wire_choices.h"

namespace plimsoll {
namespace {

Duration FromWire(const google::protobuf::Duration& time) {
  return std::chrono::seconds(time.seconds()) + std::chrono::nanoseconds(time.nanos());
}

// As much of a plan as the endpoint passes on.
absl::StatusOr<PlanAnswer> PlanFor(const PlanQuery& query) {
  const absl::StatusOr<ModelConfig> model = ParseModelConfig(query.model_config, "fuzz");
  if (!model.ok()) return model.status();
  const absl::StatusOr<InferencePlan> plan =
      PlanInference(*model, {.device_bytes = query.memory, .margin = query.margin});
  if (!plan.ok()) return plan.status();
  return PlanAnswer{.fits = plan->fits(),
                    .blocks = plan->blocks,
                    .block_tokens = plan->block_tokens,
                    .block_bytes = plan->block_bytes,
                    .kv_pool_bytes = plan->kv_pool_bytes,
                    .json = "{}"};
}

// An error that a caller may be told, in one line.
void JudgeError(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::CANCELLED:
      return JudgeRefusal(absl::InvalidArgumentError(status.error_message()));
    default:
      PLIMSOLL_CHECK(false, status.error_code(), status.error_message());
  }
}

// The same of a call. One that reads bytes says what gRPC does of the others' messages where they
// do not parse: here, because a text is no UTF-8.
template <class In, class Out>
void JudgeEndOf(const DirectCall<In, Out>& call) {
  if (call.end()->error_code() != grpc::StatusCode::UNIMPLEMENTED) return JudgeError(*call.end());
  PLIMSOLL_CHECK(!In().ParseFromString(call.in().SerializeAsString()), call.in().DebugString());
}

class Callers {
 public:
  Callers(Choices& choices, DrivenService& service)
      : choices_(choices), wire_(choices), service_(service) {}

  void Step() {
    switch (choices_.Below(16)) {
      case 0:
      case 1:
      case 2:
        return Reserve();
      case 3:
        return Extend();
      case 4:
      case 5:
        return Release();
      case 6:
        return Renew();
      case 7:
        return Batch();
      case 8:
        Leave();  // what was granted lasts from then on, not from when it is heard of
        service_.clock.Advance(std::chrono::milliseconds(250) * choices_.Below(256));
        return Leave();
      case 9:
        return Cancel();
      case 10:
        return List();
      case 11:
        return ListTenants();
      case 12:
        return Watch();
      case 13:
        return Resize();
      case 14:
        return DrainOrResume();
      default:
        return choices_.OneIn(8) ? Plan() : Revoke();
    }
  }
  void Judge() {
    service_.Judge();
    v1::GetCapacityResponse capacity = Now();
    books_.JudgeAt(service_.clock.Now(), capacity.capacity().total_blocks());
  }
  // Whoever still waits gives up.
  void End() {
    while (!waiting_.empty()) Cancel();
    service_.Settle();
  }

 private:
  using ReserveCall = DirectCall<v1::ReserveCapacityRequest, v1::ReserveCapacityResponse>;

  // Nullopt for an error, which was judged.
  template <class Endpoint, class In, class Out>
  std::optional<Out> Ask(Endpoint& endpoint,
                         grpc::ServerUnaryReactor* (Endpoint::*method)(grpc::CallbackServerContext*,
                                                                       const In*, Out*),
                         const In& in) {
    return AskFor<Out>(endpoint, method, in);
  }
  template <class Out, class Endpoint, class Method, class In>
  std::optional<Out> AskFor(Endpoint& endpoint, Method method, const In& in) {
    const DirectCall<In, Out> call(endpoint, method, in);
    if (!call.end()) service_.Settle();  // it is answered from there
    PLIMSOLL_CHECK(call.end().has_value());
    if (call.end()->ok()) return call.out();
    JudgeEndOf(call);
    return std::nullopt;
  }

  v1::GetCapacityResponse Now() {
    return *Ask(service_.capacity(), &CapacityEndpoint::GetCapacity, v1::GetCapacityRequest());
  }

  void Reserve() {
    const v1::ReserveCapacityRequest in = wire_.Reserve();
    auto call = std::make_unique<ReserveCall>(service_.admission(),
                                              &AdmissionEndpoint::ReserveCapacity, in);
    if (!call->end()) service_.Settle();
    if (!call->end()) {
      waiting_.push_back(std::move(call));
    } else {
      Heard(*call);
    }
  }
  void Heard(const ReserveCall& call) {
    if (!call.end()->ok()) return JudgeEndOf(call);
    if (!call.in().validate_only()) Note(call.out());
  }
  template <class Outcome>
  void Note(const Outcome& out) {
    PLIMSOLL_CHECK(out.has_reservation() != out.has_rejection());
    if (out.has_reservation()) return Hold(out.reservation());
    const v1::Rejection& rejection = out.rejection();
    PLIMSOLL_CHECK(rejection.decision() != v1::DECISION_UNSPECIFIED);
    PLIMSOLL_CHECK(rejection.reason() != v1::REASON_UNSPECIFIED);
    PLIMSOLL_CHECK(rejection.needed_blocks() >= 0 && rejection.missing_blocks() >= 0 &&
                       rejection.largest_fit_tokens() >= 0,
                   rejection.DebugString());
  }
  void Hold(const v1::Reservation& held) {
    PLIMSOLL_CHECK(held.blocks() > 0 && !held.reservation_id().empty(), held.DebugString());
    wire_.Learn(held.reservation_id());
    if (held.ended()) return books_.GivenBack(held.reservation_id());
    books_.Granted(held.reservation_id(), held.blocks(),
                   service_.clock.Now() + FromWire(held.remaining()));
  }
  // Answers that came meanwhile.
  void Leave() {
    service_.Settle();
    std::erase_if(waiting_, [this](const auto& call) {
      if (!call->end()) return false;
      Heard(*call);
      return true;
    });
  }
  void Cancel() {
    if (waiting_.empty()) return;
    const size_t which = static_cast<size_t>(choices_.Below(256)) % waiting_.size();
    waiting_[which]->Cancel();
    service_.Settle();
    PLIMSOLL_CHECK(waiting_[which]->end().has_value());
    Leave();
  }

  void Extend() {
    const auto out =
        Ask(service_.admission(), &AdmissionEndpoint::ExtendReservation, wire_.Extend());
    if (out) Note(*out);
  }
  void Release() {
    const v1::ReleaseReservationRequest in = wire_.Release();
    books_.GivenBack(in.reservation_id());
    AskFor<v1::ReleaseReservationResponse>(service_.admission(),
                                           &AdmissionEndpoint::ReleaseReservation, in);
  }
  void Renew() {
    const v1::RenewReservationsRequest in = wire_.Renew();
    const auto out = Ask(service_.admission(), &AdmissionEndpoint::RenewReservations, in);
    if (!out) return;
    PLIMSOLL_CHECK(out->reservations_size() + out->lost_size() ==
                   in.reservation_ids_size() + in.claims_size());
    for (const v1::Reservation& held : out->reservations()) Hold(held);
  }
  void Batch() {
    v1::BatchReserveCapacityRequest in;
    in.set_all_or_nothing(choices_.OneIn(3));
    for (int64_t i = choices_.Below(6); i > 0; --i) {
      *in.add_operations() = wire_.Operation(static_cast<uint64_t>(i));
    }
    // What is given back may be given to the next of the same batch.
    for (const v1::Operation& each : in.operations()) {
      if (each.has_release()) books_.GivenBack(each.release().reservation_id());
    }
    const auto out = AskFor<v1::BatchReserveCapacityResponse>(
        service_.admission(), &AdmissionEndpoint::BatchReserveCapacity, in);
    if (!out) return;
    PLIMSOLL_CHECK(out->results_size() == in.operations_size());
    for (int i = 0; i < in.operations_size(); ++i) NoteResult(in, i, out->results(i));
  }
  void NoteResult(const v1::BatchReserveCapacityRequest& in, int at,
                  const v1::OperationResult& result) {
    const v1::Operation& asked = in.operations(at);
    PLIMSOLL_CHECK(result.id() == asked.id(), result.id(), asked.id());
    PLIMSOLL_CHECK(result.has_released() <= asked.has_release());
    if (result.has_error()) return JudgeRefusal(absl::InternalError(result.error().message()));
    if (result.has_released() || asked.reserve().validate_only()) return;
    if (!result.has_reservation()) return Note(result);
    for (int later = at + 1; later < in.operations_size(); ++later) {
      const bool gone =
          in.operations(later).release().reservation_id() == result.reservation().reservation_id();
      if (gone) return;
    }
    Note(result);
  }

  // Page by page, all that is held.
  void List() {
    v1::ListReservationsRequest in;
    in.set_page_size(static_cast<int32_t>(choices_.Number(5)));
    if (choices_.OneIn(4)) in.set_tenant(wire_.Tenant());
    if (choices_.OneIn(4)) in.set_page_token(std::string(choices_.Bytes()));
    const bool all = !in.has_tenant() && in.page_token().empty();
    int64_t found = 0;
    for (int page = 0; page < 200; ++page) {
      const auto out = Ask(service_.capacity(), &CapacityEndpoint::ListReservations, in);
      if (!out) return;
      found += out->reservations_size();
      for (const auto& held : out->reservations()) wire_.Learn(held.reservation_id());
      in.set_page_token(out->next_page_token());
      if (in.page_token().empty()) break;
    }
    if (all) PLIMSOLL_CHECK(found == Now().capacity().reservations(), found);
  }
  void ListTenants() {
    v1::ListTenantsRequest in;
    in.set_page_size(static_cast<int32_t>(choices_.Number(5)));
    if (choices_.OneIn(4)) in.set_page_token(std::string(choices_.Bytes()));
    Ask(service_.capacity(), &CapacityEndpoint::ListTenants, in);
  }
  // Its request comes as bytes.
  void Watch() {
    v1::WatchCapacityRequest in;
    *in.mutable_min_interval() = wire_.Time();
    in.set_start_revision(choices_.Number(20));
    std::string bytes = in.SerializeAsString();
    if (choices_.OneIn(2)) bytes += choices_.Bytes();
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer buffer(&slice, 1);
    DirectWatch watch(service_.capacity(), &CapacityEndpoint::WatchCapacity, buffer);
    watch.EndWrite(true);
    watch.Cancel();
    watch.EndWrite(false);
    service_.Settle();
    watch.EndWrite(false);
    const bool left = watch.end()->error_code() == grpc::StatusCode::CANCELLED;  // nobody hears it
    if (!left && !watch.end()->ok()) JudgeError(*watch.end());
  }

  void Resize() {
    v1::ResizePoolRequest in;
    if (choices_.OneIn(3)) {
      in.set_pool_bytes(choices_.Number(DrivenService::kMostBlocks * 1000));
    } else {
      in.set_total_blocks(choices_.Number(DrivenService::kMostBlocks + 4));
    }
    Ask(service_.admin(), &AdminEndpoint::ResizePool, in);
  }
  void DrainOrResume() {
    if (choices_.OneIn(3)) {
      Ask(service_.admin(), &AdminEndpoint::Drain, v1::DrainRequest());
    } else {
      Ask(service_.admin(), &AdminEndpoint::Resume, v1::ResumeRequest());
      Ask(service_.admin(), &AdminEndpoint::GetServerInfo, v1::GetServerInfoRequest());
    }
    Leave();
  }
  void Revoke() {
    v1::RevokeReservationRequest in;
    in.set_reservation_id(wire_.Id());
    books_.GivenBack(in.reservation_id());
    Ask(service_.admin(), &AdminEndpoint::RevokeReservation, in);
  }
  void Plan() {
    v1::PlanCapacityRequest in;
    in.set_model_config(choices_.OneIn(4) ? std::string(choices_.Bytes()) : kSmallModel);
    in.set_memory_bytes(choices_.Number(int64_t{1} << 36));
    in.set_block_tokens(choices_.Number(64));
    in.set_tensor_parallel(choices_.Number(8));
    in.set_max_batched_tokens(choices_.Number(4096));
    in.add_contexts(choices_.Number(4096));
    Ask(service_.capacity(), &CapacityEndpoint::PlanCapacity, wire_.Spoilt(in));
  }

  Choices& choices_;
  WireChoices wire_;
  DrivenService& service_;
  CallersBooks books_;
  std::vector<std::unique_ptr<ReserveCall>> waiting_;
};

}  // namespace
}  // namespace plimsoll

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  Choices choices(data, size);
  DrivenService service(static_cast<Learning>(choices.Below(3)), PlanFor);
  Callers callers(choices, service);
  while (!choices.over()) {
    callers.Step();
    callers.Judge();
  }
  callers.End();
  service.JudgeEnd();
  return 0;
}
