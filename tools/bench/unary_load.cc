#include "tools/bench/unary_load.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/synchronization/blocking_counter.h"
#include "rpc/status.h"

namespace plimsoll {
namespace {

using SteadyClock = std::chrono::steady_clock;

// One of the callers. Its calls come one after the other, on threads of gRPC.
class Caller {
 public:
  Caller(v1::AdmissionService::Stub& stub, SteadyClock::time_point end, absl::BlockingCounter& over)
      : stub_(stub), end_(end), over_(over), series_(NextBenchSeries()) {}

  void Reserve() {
    reserve_ = BenchRequest(series_, ++grants_);
    Begin();
    stub_.async()->ReserveCapacity(&*context_, &reserve_, &granted_,
                                   [this](const grpc::Status& status) { OnReserved(status); });
  }

  int64_t grants() const { return static_cast<int64_t>(grants_); }
  const absl::Status& fault() const { return fault_; }
  const std::vector<float>& latencies_us() const { return latencies_us_; }

 private:
  void OnReserved(const grpc::Status& status) {
    Answered();
    const std::string& id = granted_.reservation().reservation_id();
    if (!status.ok()) return Stop(FromGrpc(status));
    if (id.empty()) {
      return Stop(absl::InternalError("no grant: " + granted_.ShortDebugString()));
    }
    release_.set_reservation_id(id);
    Begin();
    stub_.async()->ReleaseReservation(&*context_, &release_, &released_,
                                      [this](const grpc::Status& end) { OnReleased(end); });
  }
  void OnReleased(const grpc::Status& status) {
    Answered();
    if (!status.ok()) return Stop(FromGrpc(status));
    if (asked_ >= end_) return Stop(absl::OkStatus());
    Reserve();
  }

  void Begin() {
    context_.emplace();
    asked_ = SteadyClock::now();
  }
  void Answered() {
    latencies_us_.push_back(
        std::chrono::duration<float, std::micro>(SteadyClock::now() - asked_).count());
  }
  void Stop(absl::Status status) {
    fault_ = std::move(status);
    over_.DecrementCount();
  }

  v1::AdmissionService::Stub& stub_;
  const SteadyClock::time_point end_;
  absl::BlockingCounter& over_;
  const uint64_t series_;
  uint64_t grants_ = 0;
  std::optional<grpc::ClientContext> context_;
  SteadyClock::time_point asked_;
  v1::ReserveCapacityRequest reserve_;
  v1::ReserveCapacityResponse granted_;
  v1::ReleaseReservationRequest release_;
  v1::ReleaseReservationResponse released_;
  std::vector<float> latencies_us_;
  absl::Status fault_;
};

}  // namespace

uint64_t NextBenchSeries() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1);
}

v1::ReserveCapacityRequest BenchRequest(uint64_t series, uint64_t number) {
  v1::ReserveCapacityRequest request;
  request.set_request_id(absl::StrFormat("%08x-0000-4000-8000-%012x", series, number));
  request.set_tenant("tenant-0");
  request.set_prompt_tokens(kBenchPromptTokens);
  request.set_max_new_tokens(kBenchNewTokens);
  return request;
}

std::shared_ptr<grpc::Channel> BenchChannel(const std::string& address, int number) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt("plimsoll.bench.number", number);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

double Percentile(std::vector<float>& values, double share) {
  if (values.empty()) return 0;
  const auto nth = static_cast<ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + nth, values.end());
  return values[static_cast<size_t>(nth)];
}

absl::StatusOr<LoadResult> RunUnaryLoad(v1::AdmissionService::Stub& stub, int outstanding,
                                        Duration time) {
  absl::BlockingCounter over(outstanding);
  const SteadyClock::time_point start = SteadyClock::now();
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < outstanding; ++i) {
    callers.push_back(std::make_unique<Caller>(stub, start + time, over));
  }
  for (const auto& caller : callers) caller->Reserve();
  over.Wait();
  LoadResult result;
  result.seconds = std::chrono::duration<double>(SteadyClock::now() - start).count();
  std::vector<float> latencies_us;
  for (const auto& caller : callers) {
    if (!caller->fault().ok()) return caller->fault();
    result.grants += caller->grants();
    latencies_us.insert(latencies_us.end(), caller->latencies_us().begin(),
                        caller->latencies_us().end());
  }
  result.calls = static_cast<int64_t>(latencies_us.size());
  result.p50_us = Percentile(latencies_us, 0.5);
  result.p99_us = Percentile(latencies_us, 0.99);
  return result;
}

}  // namespace plimsoll
