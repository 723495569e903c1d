// The figures of one ledger server, by subject; see admission_bench.h.
//
// Threads: one calls. Errors: as there.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tools/bench/admission_bench.h"
#include "tools/bench/child_server.h"
#include "tools/bench/unary_load.h"

namespace plimsoll {

// A server, one of its addresses, a channel to that and its stub.
struct BenchPeer {
  static BenchPeer At(const ChildServer& server, const std::string& address);

  const ChildServer* server;
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::AdmissionService::Stub> admission;
};

// Before and after: nothing is held, and every grant in between was released.
class LedgerCheck {
 public:
  // Internal where the ledger does not answer.
  static absl::StatusOr<LedgerCheck> Begin(const BenchPeer& ledger);
  absl::Status End(const BenchPeer& ledger, int64_t grants) const;

 private:
  int64_t admitted_ = 0, released_ = 0, expired_ = 0;
};

// A load on one server, over a connection that is its own: how threads come to share the processors
// stays with a connection, and rounds are to differ in that too.
using BenchLoad = std::function<absl::StatusOr<LoadResult>(const BenchPeer& peer)>;
struct LoadGoals {
  double throughput;               // of the echo's, at least
  std::optional<double> p50 = {};  // of the echo's, at most
};

// Whether it is asked for; says so where it is.
bool Wanted(const AdmissionBenchOptions& options, const std::string& what);

// Adds the throughput, p50 and processor time of the load on both, round by round.
absl::Status AddCompared(const AdmissionBenchOptions& options, const std::string& what,
                         const BenchPeer& ledger, const BenchPeer& echo, const BenchLoad& load,
                         const LoadGoals& goals, AdmissionFigures& figures);

// Each adds its figures.
absl::Status AddUnaryFigures(const AdmissionBenchOptions& options, const ChildServer& ledger,
                             const ChildServer& echo, AdmissionFigures& figures);
absl::Status AddBatchFigures(const AdmissionBenchOptions& options, const ChildServer& ledger,
                             const ChildServer& echo, AdmissionFigures& figures);
absl::Status AddSessionFigures(const AdmissionBenchOptions& options, const ChildServer& ledger,
                               const ChildServer& echo, AdmissionFigures& figures);
absl::Status AddWatchFigures(const AdmissionBenchOptions& options, const ChildServer& ledger,
                             AdmissionFigures& figures);
absl::Status AddLibraryFigures(const AdmissionBenchOptions& options, AdmissionFigures& figures);
absl::Status AddStartFigure(const AdmissionBenchOptions& options, AdmissionFigures& figures);

}  // namespace plimsoll
