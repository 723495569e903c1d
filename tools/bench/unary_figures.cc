// Unary calls, batches and a session, beside the echo.
#include <algorithm>
#include <array>

#include "absl/strings/str_format.h"
#include "kvcache/base/errors.h"
#include "tools/bench/batch_load.h"
#include "tools/bench/service_figures.h"
#include "tools/bench/session_load.h"

namespace plimsoll {

absl::Status AddUnaryFigures(const AdmissionBenchOptions& options, const ChildServer& ledger,
                             const ChildServer& echo, AdmissionFigures& figures) {
  constexpr std::array<const char*, 2> kTransports = {"TCP", "Unix socket"};
  constexpr Duration kWarm = std::chrono::milliseconds(200);
  for (size_t i = 0; i < kTransports.size(); ++i) {
    const BenchPeer ours = BenchPeer::At(ledger, ledger.addresses()[i]);
    const BenchPeer peer = BenchPeer::At(echo, echo.addresses()[i]);
    for (const BenchPeer* each : {&ours, &peer}) {
      const auto warm = RunUnaryLoad(*each->admission, 8, std::min(kWarm, options.time));
      if (!warm.ok()) return warm.status();
    }
    for (const int outstanding : {1, 8, 64}) {
      PLIMSOLL_RETURN_IF_ERROR(AddCompared(
          options,
          absl::StrFormat("reserve, release: %s, %d outstanding", kTransports[i], outstanding),
          ours, peer,
          [&](const BenchPeer& each) {
            return RunUnaryLoad(*each.admission, outstanding, options.time);
          },
          {.throughput = 0.90, .p50 = 1.10}, figures));
    }
  }
  return absl::OkStatus();
}

absl::Status AddBatchFigures(const AdmissionBenchOptions& options, const ChildServer& ledger,
                             const ChildServer& echo, AdmissionFigures& figures) {
  const BenchPeer ours = BenchPeer::At(ledger, ledger.addresses()[0]);
  const BenchPeer peer = BenchPeer::At(echo, echo.addresses()[0]);
  constexpr int kOperations = 64;
  return AddCompared(
      options, absl::StrFormat("reserve, release: batches of %d", kOperations), ours, peer,
      [&](const BenchPeer& each) {
        return RunBatchLoad(*each.admission, kOperations, options.time);
      },
      {.throughput = 0.75}, figures);
}

absl::Status AddSessionFigures(const AdmissionBenchOptions& options, const ChildServer& ledger,
                               const ChildServer& echo, AdmissionFigures& figures) {
  const BenchPeer ours = BenchPeer::At(ledger, ledger.addresses()[0]);
  const BenchPeer peer = BenchPeer::At(echo, echo.addresses()[0]);
  constexpr int kWindow = 64;
  return AddCompared(
      options, absl::StrFormat("reserve, release: one session, %d outstanding", kWindow), ours,
      peer,
      [&](const BenchPeer& each) { return RunSessionLoad(*each.admission, kWindow, options.time); },
      {.throughput = 0.85}, figures);
}

}  // namespace plimsoll
