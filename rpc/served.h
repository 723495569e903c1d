// What every endpoint of one server works on.
//
// Threads: any; the parts say for themselves. Errors: none.
#pragma once

#include <grpcpp/server_context.h>

#include <functional>
#include <string>
#include <vector>

#include "engine/loop/generation_loop.h"
#include "kvcache/admission/shared_admission.h"
#include "rpc/capacity_report.h"
#include "rpc/draining.h"
#include "rpc/health.h"
#include "rpc/housekeeper.h"
#include "rpc/log.h"
#include "rpc/plan_query.h"
#include "rpc/server_info.h"
#include "rpc/session.h"
#include "rpc/status.h"

namespace plimsoll {

class TokenGate;

struct Served {
  SharedAdmission& admission;
  const Clock& clock;
  Housekeeper& housekeeper;
  GenerationLoop* loop;     // null in ledger mode
  CapacityReport identity;  // the snapshot in it is never used
  ServerInfo info;          // what does not change while serving
  PoolResizer resize;       // null where the pool has one size
  MemoryTeller memory;      // null: as `info` says
  const HealthMonitor& health;
  DurationHistogram& decisions;  // what it took to answer requests for room
  SessionCounts& sessions;
  WallTime started;
  Draining& draining;
  // Hears the id of each reservation that was revoked, from a thread that may send; null: nobody
  // listens.
  std::function<void(const std::string& id)> revoked = {};
  Planner planner = {};             // null where the server does not plan
  const TokenGate* gate = nullptr;  // null where no tokens are wanted
  const Log* log = nullptr;         // null: nothing is said

  std::vector<MemoryStage> Memory() const { return memory ? memory() : info.memory; }
  CapacityReport Capacity() const { return Capacity(admission.published().Read()); }
  CapacityReport Capacity(const AdmissionSnapshot& snapshot) const {
    CapacityReport report = identity;
    report.snapshot = snapshot;
    return report;
  }
  int64_t Revision() const { return admission.published().Revision(); }
};

// Counts how long it took to decide, from now to its end.
class DecisionTimer {
 public:
  explicit DecisionTimer(const Served& served) : served_(served) {}
  ~DecisionTimer() { served_.decisions.Add(std::chrono::steady_clock::now() - start_); }
  DecisionTimer(const DecisionTimer&) = delete;
  DecisionTimer& operator=(const DecisionTimer&) = delete;

 private:
  const Served& served_;
  const Instant start_ = std::chrono::steady_clock::now();
};

// Whether nobody waits for the answer any more. gRPC runs a handler whose deadline has passed.
inline bool CallerIsGone(const grpc::CallbackServerContext& context) {
  constexpr auto kNever = std::chrono::system_clock::time_point::max();
  const auto deadline = context.deadline();
  if (deadline != kNever && deadline <= std::chrono::system_clock::now()) return true;
  return context.IsCancelled();
}

// Ends a call that needs no reactor of its own.
inline grpc::ServerUnaryReactor* Finished(grpc::CallbackServerContext* context,
                                          const absl::Status& status) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace plimsoll
