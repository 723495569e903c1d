// What a server serves, without a network: a ledger of 64 blocks on simulated time with quotas and
// classes, and the endpoints that gRPC would call.
//
// Threads: the fuzzer's; the housekeeper has its own, as in a server. Cost: a thread, some
// allocations. Errors: what Judge finds wrong aborts.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "rpc/admin_endpoint.h"
#include "rpc/admission_endpoint.h"
#include "rpc/capacity_endpoint.h"

namespace plimsoll {

class DrivenService {
 public:
  static constexpr int64_t kBlocks = 64, kMostBlocks = 96;
  static constexpr char kEpoch[] = "e1";

  DrivenService(Learning learning, Planner planner);

  SimulatedClock clock;

  AdmissionEndpoint& admission() { return admission_endpoint_; }
  CapacityEndpoint& capacity() { return capacity_endpoint_; }
  AdminEndpoint& admin() { return admin_endpoint_; }
  const Served& served() const { return served_; }

  // Returns when the housekeeper has done what was posted so far.
  void Settle();
  // Conserved, and as what admission itself says.
  void Judge();
  // Once nothing calls any more: whatever was held ends by itself, and then all is free.
  void JudgeEnd();

 private:
  absl::StatusOr<PoolResized> Resize(Blocks total);

  std::unique_ptr<KvCache> cache_;
  SharedAdmission shared_;
  Housekeeper housekeeper_;
  const std::shared_ptr<HealthMonitor> health_;
  DurationHistogram decisions_;
  SessionCounts sessions_;
  Draining draining_;
  const Served served_;
  AdmissionEndpoint admission_endpoint_{served_};
  CapacityEndpoint capacity_endpoint_{served_};
  AdminEndpoint admin_endpoint_{served_};
};

// What callers were told that they hold, by their own books: never more than there is.
class CallersBooks {
 public:
  // An answer that came; what was given back before it came is not held.
  void Granted(const std::string& id, int64_t blocks, Instant until);
  // On its way, so it may be back at any time.
  void GivenBack(const std::string& id);
  void JudgeAt(Instant now, int64_t total_blocks) const;

 private:
  struct Held {
    int64_t blocks;
    Instant until;
  };
  std::map<std::string, Held> held_;
};

}  // namespace plimsoll
