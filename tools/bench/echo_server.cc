#include "tools/bench/echo_server.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "plimsoll/v1/admission.grpc.pb.h"

namespace plimsoll {
namespace {

// What a ledger answers, as long in bytes.
v1::ReserveCapacityResponse Granted() {
  v1::ReserveCapacityResponse out;
  v1::Reservation& reservation = *out.mutable_reservation();
  reservation.set_epoch("0123456789abcde");
  reservation.set_reservation_id("0123456789abcde-100000");
  reservation.set_tenant("tenant-0");
  reservation.set_prompt_tokens(1000);
  reservation.set_max_new_tokens(24);
  reservation.set_blocks(64);
  reservation.mutable_ttl()->set_seconds(30);
  reservation.mutable_remaining()->set_seconds(5);
  reservation.mutable_expire_time()->set_seconds(1'800'000'000);
  reservation.mutable_expire_time()->set_nanos(999'999'999);
  out.set_revision(100'000);
  return out;
}

void Answer(const v1::Reservation& granted, const v1::Operation& operation,
            v1::OperationResult& result) {
  result.set_id(operation.id());
  if (operation.has_reserve()) {
    *result.mutable_reservation() = granted;
  } else {
    result.mutable_released();
  }
}

// As a ledger's: what comes while a write is on its way is answered with the next.
class EchoSession final : public grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse> {
 public:
  explicit EchoSession(const v1::Reservation& granted) : granted_(granted) { StartRead(&request_); }

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      ended_ = !ok;
      if (request_.has_hello()) pending_.mutable_welcome();
      for (const v1::Operation& operation : request_.operations()) {
        Answer(granted_, operation, *pending_.add_results());
      }
      request_.Clear();
    }
    Write();
    if (ok) StartRead(&request_);
  }
  void OnWriteDone(bool) override ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
    }
    Write();
  }
  void OnDone() override { delete this; }

 private:
  void Write() ABSL_LOCKS_EXCLUDED(mutex_) {
    bool end = false;
    {
      absl::MutexLock lock(&mutex_);
      if (writing_ || finished_) return;
      writing_ = pending_.has_welcome() || pending_.results_size() > 0;
      end = finished_ = !writing_ && ended_;
      if (!writing_ && !end) return;
      message_.Swap(&pending_);
      pending_.Clear();
    }
    end ? Finish(grpc::Status::OK) : StartWrite(&message_);
  }

  const v1::Reservation& granted_;
  v1::SessionRequest request_;
  v1::SessionResponse message_;  // of the write on its way
  absl::Mutex mutex_;
  v1::SessionResponse pending_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

class Echo final : public v1::AdmissionService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ReserveCapacity(grpc::CallbackServerContext* context,
                                            const v1::ReserveCapacityRequest*,
                                            v1::ReserveCapacityResponse* out) override {
    *out = granted_;
    return Done(context);
  }
  grpc::ServerUnaryReactor* ReleaseReservation(grpc::CallbackServerContext* context,
                                               const v1::ReleaseReservationRequest*,
                                               v1::ReleaseReservationResponse* out) override {
    out->set_revision(granted_.revision());
    return Done(context);
  }
  grpc::ServerUnaryReactor* BatchReserveCapacity(grpc::CallbackServerContext* context,
                                                 const v1::BatchReserveCapacityRequest* in,
                                                 v1::BatchReserveCapacityResponse* out) override {
    for (const v1::Operation& operation : in->operations()) {
      Answer(granted_.reservation(), operation, *out->add_results());
    }
    out->set_revision(granted_.revision());
    return Done(context);
  }
  grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* Session(
      grpc::CallbackServerContext*) override {
    return new EchoSession(granted_.reservation());
  }

 private:
  static grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  const v1::ReserveCapacityResponse granted_ = Granted();
};

}  // namespace

absl::Status ServeEcho(const std::vector<std::string>& addresses) {
  Echo echo;
  grpc::ServerBuilder builder;
  builder.RegisterService(&echo);
  std::vector<int> ports(addresses.size());
  for (size_t i = 0; i < addresses.size(); ++i) {
    builder.AddListeningPort(addresses[i], grpc::InsecureServerCredentials(), &ports[i]);
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return absl::FailedPreconditionError("the echo cannot listen");
  std::vector<std::string> bound;
  for (size_t i = 0; i < addresses.size(); ++i) {
    const bool tcp = addresses[i].ends_with(":0");
    bound.push_back(tcp ? "127.0.0.1:" + std::to_string(ports[i]) : addresses[i]);
  }
  std::printf("plimsoll: ready: echo; gRPC on %s\n", absl::StrJoin(bound, ", ").c_str());
  std::fflush(stdout);
  server->Wait();
  return absl::OkStatus();
}

}  // namespace plimsoll
