#include "tools/bench/session_load.h"

#include <grpcpp/grpcpp.h>

#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "rpc/status.h"

namespace plimsoll {
namespace {

using SteadyClock = std::chrono::steady_clock;

// One session. An operation's id is its place in the window, which is reserved and released in
// turn until the time is over.
class SessionCaller final
    : public grpc::ClientBidiReactor<v1::SessionRequest, v1::SessionResponse> {
 public:
  SessionCaller(v1::AdmissionService::Stub& stub, int window, SteadyClock::time_point end)
      : end_(end), places_(static_cast<size_t>(window)) {
    stub.async()->Session(&context_, this);
    request_.mutable_hello();
    StartWrite(&request_);
    StartRead(&response_);
    StartCall();
  }

  // Waits for its end.
  const grpc::Status& Await() {
    over_.WaitForNotification();
    return status_;
  }
  const absl::Status& fault() const { return fault_; }
  int64_t grants() const { return static_cast<int64_t>(grants_); }
  std::vector<float>& latencies_us() { return latencies_us_; }

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    if (!ok) return;
    {
      absl::MutexLock lock(&mutex_);
      if (response_.has_welcome()) Begin();
      for (const v1::OperationResult& result : response_.results()) Took(result);
    }
    Write();
    StartRead(&response_);
  }
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = !ok;
    }
    Write();
  }
  void OnDone(const grpc::Status& status) override {
    status_ = status;
    over_.Notify();
  }

 private:
  struct Place {
    std::string held;  // the reservation's id
    SteadyClock::time_point asked;
  };

  void Begin() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    active_ = places_.size();
    for (size_t i = 0; i < places_.size(); ++i) Ask(i);
  }
  void Ask(size_t place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    places_[place].asked = SteadyClock::now();
    to_send_.push_back(place);
  }
  void Took(const v1::OperationResult& result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Place& place = places_[result.id()];
    const SteadyClock::time_point now = SteadyClock::now();
    latencies_us_.push_back(std::chrono::duration<float, std::micro>(now - place.asked).count());
    const bool granted = place.held.empty() && result.has_reservation();
    if (!granted && !(result.has_released() && !place.held.empty())) {
      fault_ = absl::InternalError("no grant, or no release: " + result.ShortDebugString());
      context_.TryCancel();
      return;
    }
    place.held = granted ? result.reservation().reservation_id() : "";
    if (granted || now < end_) {
      Ask(result.id());
    } else {
      --active_;
    }
  }

  void Write() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (writing_) return;
      writing_ = true;
      if (!to_send_.empty()) {
        Fill(to_send_.front());
        to_send_.pop_front();
      } else if (active_ > 0 || closed_ || !began()) {
        writing_ = false;
        return;
      } else {
        closed_ = true;
      }
    }
    closed_ ? StartWritesDone() : StartWrite(&request_);
  }
  bool began() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return grants_ > 0; }
  void Fill(size_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    request_.Clear();
    v1::Operation& operation = *request_.add_operations();
    operation.set_id(number);
    const Place& place = places_[number];
    if (place.held.empty()) {
      *operation.mutable_reserve() = BenchRequest(series_, ++grants_);
    } else {
      operation.mutable_release()->set_reservation_id(place.held);
    }
  }

  const SteadyClock::time_point end_;
  const uint64_t series_ = NextBenchSeries();
  grpc::ClientContext context_;
  v1::SessionRequest request_;    // of the write on its way
  v1::SessionResponse response_;  // of the read on its way
  absl::Mutex mutex_;
  std::vector<Place> places_ ABSL_GUARDED_BY(mutex_);
  std::deque<size_t> to_send_ ABSL_GUARDED_BY(mutex_);
  size_t active_ ABSL_GUARDED_BY(mutex_) = 0;  // places that are not done
  bool writing_ ABSL_GUARDED_BY(mutex_) = true;
  bool closed_ = false;
  uint64_t grants_ = 0;
  std::vector<float> latencies_us_;
  absl::Status fault_;
  grpc::Status status_;
  absl::Notification over_;
};

}  // namespace

absl::StatusOr<LoadResult> RunSessionLoad(v1::AdmissionService::Stub& stub, int window,
                                          Duration time) {
  const SteadyClock::time_point start = SteadyClock::now();
  SessionCaller caller(stub, window, start + time);
  const grpc::Status& status = caller.Await();
  LoadResult result;
  result.seconds = std::chrono::duration<double>(SteadyClock::now() - start).count();
  if (!caller.fault().ok()) return caller.fault();
  if (!status.ok()) return FromGrpc(status);
  result.grants = caller.grants();
  result.calls = static_cast<int64_t>(caller.latencies_us().size());
  result.p50_us = Percentile(caller.latencies_us(), 0.5);
  result.p99_us = Percentile(caller.latencies_us(), 0.99);
  return result;
}

}  // namespace plimsoll
