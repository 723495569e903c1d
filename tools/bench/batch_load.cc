#include "tools/bench/batch_load.h"

#include <grpcpp/grpcpp.h>

#include "kvcache/base/errors.h"
#include "rpc/status.h"

namespace plimsoll {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Sends one batch after the other and notes how long each took.
class BatchCaller {
 public:
  explicit BatchCaller(v1::AdmissionService::Stub& stub) : stub_(stub) {}

  // A batch of reservations, and one that releases what it was granted.
  absl::Status ReserveAndRelease(int operations) {
    v1::BatchReserveCapacityRequest reserve, release;
    for (int i = 0; i < operations; ++i) {
      v1::Operation& operation = *reserve.add_operations();
      operation.set_id(static_cast<uint64_t>(i));
      *operation.mutable_reserve() = BenchRequest(series_, ++grants_);
    }
    v1::BatchReserveCapacityResponse granted, released;
    PLIMSOLL_RETURN_IF_ERROR(Call(reserve, granted));
    for (const v1::OperationResult& result : granted.results()) {
      if (!result.has_reservation()) return absl::InternalError("no grant in a batch");
      v1::Operation& operation = *release.add_operations();
      operation.set_id(result.id());
      operation.mutable_release()->set_reservation_id(result.reservation().reservation_id());
    }
    PLIMSOLL_RETURN_IF_ERROR(Call(release, released));
    for (const v1::OperationResult& result : released.results()) {
      if (!result.has_released()) return absl::InternalError("no release in a batch");
    }
    return absl::OkStatus();
  }

  int64_t grants() const { return static_cast<int64_t>(grants_); }
  std::vector<float>& latencies_us() { return latencies_us_; }

 private:
  absl::Status Call(const v1::BatchReserveCapacityRequest& in,
                    v1::BatchReserveCapacityResponse& out) {
    grpc::ClientContext context;
    const SteadyClock::time_point start = SteadyClock::now();
    const grpc::Status status = stub_.BatchReserveCapacity(&context, in, &out);
    latencies_us_.push_back(
        std::chrono::duration<float, std::micro>(SteadyClock::now() - start).count());
    if (!status.ok()) return FromGrpc(status);
    if (out.results_size() == in.operations_size()) return absl::OkStatus();
    return absl::InternalError("a batch was answered in part");
  }

  v1::AdmissionService::Stub& stub_;
  const uint64_t series_ = NextBenchSeries();
  uint64_t grants_ = 0;
  std::vector<float> latencies_us_;
};

}  // namespace

absl::StatusOr<LoadResult> RunBatchLoad(v1::AdmissionService::Stub& stub, int operations,
                                        Duration time) {
  BatchCaller caller(stub);
  const SteadyClock::time_point start = SteadyClock::now();
  do {
    PLIMSOLL_RETURN_IF_ERROR(caller.ReserveAndRelease(operations));
  } while (SteadyClock::now() < start + time);
  LoadResult result;
  result.seconds = std::chrono::duration<double>(SteadyClock::now() - start).count();
  result.grants = caller.grants();
  result.calls = 2 * result.grants;
  result.p50_us = Percentile(caller.latencies_us(), 0.5);
  result.p99_us = Percentile(caller.latencies_us(), 0.99);
  return result;
}

}  // namespace plimsoll
