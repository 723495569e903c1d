// Reserving while many watch, beside reserving while nobody does.
#include <thread>

#include "absl/strings/str_format.h"
#include "kvcache/base/errors.h"
#include "tools/bench/service_figures.h"
#include "tools/bench/watch_load.h"

namespace plimsoll {
namespace {

constexpr int kOutstanding = 8;
constexpr Duration kInterval = std::chrono::milliseconds(200);
// Than other loads, so that updates come meanwhile; and rarer.
constexpr int kLonger = 4, kRarer = 2;

struct Round {
  double p99_us = 0;
  double updates_per_second = 0;  // of one watcher
};

absl::StatusOr<Round> RunRound(const AdmissionBenchOptions& options, const BenchPeer& ledger,
                               const std::string& address, int watchers) {
  std::unique_ptr<WatchLoad> load;
  if (watchers > 0) {
    absl::StatusOr<std::unique_ptr<WatchLoad>> opened =
        WatchLoad::Open(address, watchers, kInterval);
    if (!opened.ok()) return opened.status();
    load = *std::move(opened);
    std::this_thread::sleep_for(kInterval);  // after which each may hear of changes
  }
  const absl::StatusOr<LedgerCheck> check = LedgerCheck::Begin(ledger);
  if (!check.ok()) return check.status();
  const int64_t before = load == nullptr ? 0 : load->updates();
  const absl::StatusOr<LoadResult> result =
      RunUnaryLoad(*ledger.admission, kOutstanding, kLonger * options.time);
  if (!result.ok()) return result.status();
  PLIMSOLL_RETURN_IF_ERROR(check->End(ledger, result->grants));
  Round round{.p99_us = result->p99_us};
  if (load != nullptr) {
    round.updates_per_second =
        static_cast<double>(load->updates() - before) / result->seconds / watchers;
  }
  return round;
}

}  // namespace

absl::Status AddWatchFigures(const AdmissionBenchOptions& options, const ChildServer& ledger,
                             AdmissionFigures& figures) {
  const std::string what = absl::StrFormat("reserve, release beside %d watchers", options.watchers);
  if (!Wanted(options, what)) return absl::OkStatus();
  const std::string& address = ledger.addresses()[0];
  const BenchPeer ours = BenchPeer::At(ledger, address);
  std::vector<double> with, without, ratio, updates;
  for (int i = 0; i < (options.rounds + kRarer - 1) / kRarer; ++i) {
    const absl::StatusOr<Round> alone = RunRound(options, ours, address, 0);
    if (!alone.ok()) return alone.status();
    const absl::StatusOr<Round> watched = RunRound(options, ours, address, options.watchers);
    if (!watched.ok()) return watched.status();
    with.push_back(watched->p99_us);
    without.push_back(alone->p99_us);
    ratio.push_back(watched->p99_us / alone->p99_us);
    updates.push_back(watched->updates_per_second);
  }
  figures.push_back({.what = what + ", p99",
                     .unit = "us",
                     .ours = MedianOf(with),
                     .peer = MedianOf(without),
                     .judged = MedianOf(ratio),
                     .goal = 1.5,
                     .at_least = false});
  figures.push_back({.what = what + ", updates of each",
                     .unit = "1/s",
                     .ours = MedianOf(updates),
                     .peer = {},
                     .judged = MedianOf(updates),
                     .goal = {},
                     .at_least = true});
  return absl::OkStatus();
}

}  // namespace plimsoll
