// Load reports for balancers, as xDS has them (ORCA): how full the cache is, how many requests it
// holds and how many wait; as a stream of their own, or at the end of each generation.
//
// Threads: gRPC's and the housekeeper's; LoadTrailer, any. Cost: a watcher of the housekeeper for
// each stream; a trailer, a copy of some 200 bytes, made anew ten times a second at most.
// Errors: INVALID_ARGUMENT for an interval that is none.
#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "rpc/served.h"
#include "xds/service/orca/v3/orca.grpc.pb.h"

namespace plimsoll {

// `named_metrics` has the names that endpoint pickers know from Triton: kv_cache_utilization and
// max_token_capacity; and num_requests_running, num_requests_waiting, headroom_blocks.
xds::data::orca::v3::OrcaLoadReport LoadReportOf(const CapacityReport& report);

// Where gRPC's clients look for the report of a call.
inline constexpr char kLoadTrailer[] = "endpoint-load-metrics-bin";

// A serialised report, at most 100 ms old.
class LoadTrailer {
 public:
  explicit LoadTrailer(const Served& served) : served_(served) {}
  std::string Bytes() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const Served& served_;
  absl::Mutex mutex_;
  std::string bytes_ ABSL_GUARDED_BY(mutex_);
  Instant until_ ABSL_GUARDED_BY(mutex_) = Instant::min();
};

class OrcaEndpoint final : public xds::service::orca::v3::OpenRcaService::CallbackService {
 public:
  explicit OrcaEndpoint(const Served& served) : served_(served) {}

  grpc::ServerWriteReactor<xds::data::orca::v3::OrcaLoadReport>* StreamCoreMetrics(
      grpc::CallbackServerContext* context,
      const xds::service::orca::v3::OrcaLoadReportRequest* in) override;

 private:
  const Served& served_;
};

}  // namespace plimsoll
