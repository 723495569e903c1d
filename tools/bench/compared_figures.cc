// A load on the ledger and on the echo in turn, and the check that the ledger gave back everything.
#include <array>
#include <utility>

#include "absl/strings/str_format.h"
#include "kvcache/base/errors.h"
#include "plimsoll/v1/capacity.grpc.pb.h"
#include "rpc/status.h"
#include "tools/bench/service_figures.h"

namespace plimsoll {
namespace {

absl::StatusOr<v1::Capacity> CapacityOf(const BenchPeer& ledger) {
  grpc::ClientContext context;
  v1::GetCapacityResponse out;
  const grpc::Status status =
      v1::CapacityService::NewStub(ledger.channel)->GetCapacity(&context, {}, &out);
  if (!status.ok()) return FromGrpc(status);
  return out.capacity();
}

// What one round said of one server.
struct Measured {
  LoadResult load;
  double cpu_us = 0;  // the server's, per call
};

absl::StatusOr<Measured> Measure(const BenchPeer& peer, const BenchLoad& run) {
  const BenchPeer fresh = BenchPeer::At(*peer.server, peer.address);
  const Duration before = peer.server->CpuTime();
  const absl::StatusOr<LoadResult> load = run(fresh);
  if (!load.ok()) return load.status();
  const std::chrono::duration<double, std::micro> used = peer.server->CpuTime() - before;
  return Measured{.load = *load, .cpu_us = used.count() / static_cast<double>(load->calls)};
}

// One figure's values, round by round.
struct Series {
  std::vector<double> ours, peer, ratio;
  void Add(double our_value, double peer_value) {
    ours.push_back(our_value);
    peer.push_back(peer_value);
    ratio.push_back(our_value / peer_value);
  }
  AdmissionFigure Figure(std::string what, std::string unit, std::optional<double> goal,
                         bool at_least) const {
    return {.what = std::move(what),
            .unit = std::move(unit),
            .ours = MedianOf(ours),
            .peer = MedianOf(peer),
            .judged = MedianOf(ratio),
            .goal = goal,
            .at_least = at_least};
  }
};

}  // namespace

bool Wanted(const AdmissionBenchOptions& options, const std::string& what) {
  if (what.find(options.only) == std::string::npos) return false;
  options.on_progress(what);
  return true;
}

BenchPeer BenchPeer::At(const ChildServer& server, const std::string& address) {
  BenchPeer peer{.server = &server,
                 .address = address,
                 .channel = BenchChannel(address),
                 .admission = nullptr};
  peer.admission = v1::AdmissionService::NewStub(peer.channel);
  return peer;
}

absl::StatusOr<LedgerCheck> LedgerCheck::Begin(const BenchPeer& ledger) {
  const absl::StatusOr<v1::Capacity> now = CapacityOf(ledger);
  if (!now.ok()) return now.status();
  LedgerCheck check;
  check.admitted_ = now->admitted_count();
  check.released_ = now->released_count();
  check.expired_ = now->expired_count();
  return check;
}

absl::Status LedgerCheck::End(const BenchPeer& ledger, int64_t grants) const {
  const absl::StatusOr<v1::Capacity> now = CapacityOf(ledger);
  if (!now.ok()) return now.status();
  const bool conserved = now->free_blocks() == now->total_blocks() && now->reservations() == 0;
  const bool counted = now->admitted_count() - admitted_ == grants &&
                       now->released_count() - released_ == grants &&
                       now->expired_count() == expired_;
  if (conserved && counted) return absl::OkStatus();
  return absl::InternalError(absl::StrFormat("after %d grants, each released, the ledger says: %s",
                                             grants, now->ShortDebugString()));
}

// Who is first changes from round to round.
absl::Status AddCompared(const AdmissionBenchOptions& options, const std::string& what,
                         const BenchPeer& ledger, const BenchPeer& echo, const BenchLoad& load,
                         const LoadGoals& goals, AdmissionFigures& figures) {
  if (!Wanted(options, what)) return absl::OkStatus();
  Series throughput, p50, cpu;
  for (int round = 0; round < options.rounds; ++round) {
    std::array<absl::StatusOr<Measured>, 2> results;
    const absl::StatusOr<LedgerCheck> check = LedgerCheck::Begin(ledger);
    if (!check.ok()) return check.status();
    for (int turn = 0; turn < 2; ++turn) {
      const auto who = static_cast<size_t>((round + turn) % 2);
      results[who] = Measure(who == 0 ? ledger : echo, load);
      if (!results[who].ok()) return results[who].status();
    }
    PLIMSOLL_RETURN_IF_ERROR(check->End(ledger, results[0]->load.grants));
    throughput.Add(results[0]->load.CallsPerSecond(), results[1]->load.CallsPerSecond());
    p50.Add(results[0]->load.p50_us, results[1]->load.p50_us);
    cpu.Add(results[0]->cpu_us, results[1]->cpu_us);
  }
  figures.push_back(throughput.Figure(what, "1/s", goals.throughput, true));
  figures.push_back(p50.Figure(what + ", p50", "us", goals.p50, false));
  figures.push_back(cpu.Figure(what + ", server's processor", "us each", {}, false));
  return absl::OkStatus();
}

}  // namespace plimsoll
