// Load reports for balancers, as xDS has them (ORCA): how full the cache is, how many requests it
// holds and how many wait.
//
// Threads: gRPC's and the housekeeper's. Cost: a watcher of the housekeeper for each stream.
// Errors: INVALID_ARGUMENT for an interval that is none.
#pragma once

#include "rpc/served.h"
#include "xds/service/orca/v3/orca.grpc.pb.h"

namespace plimsoll {

// `named_metrics` has the names that endpoint pickers know from Triton: kv_cache_utilization and
// max_token_capacity; and num_requests_running, num_requests_waiting, headroom_blocks.
xds::data::orca::v3::OrcaLoadReport LoadReportOf(const CapacityReport& report);

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
