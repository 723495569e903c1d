// A trace against a server: requests are sent when they come, whether or not the last was answered.
//
// Each request first asks for room at once; told to wait, it queues for up to `max_wait`. Admitted,
// it either holds its reservation for as long as prefill and decode would take, renewing the lease,
// and releases it; or it generates really, from random prompt tokens. At most 4096 requests are
// without an answer at one time; later ones are held back until then.
//
// Every request is counted once: admitted, refused, or lost to an error. At the end the server's
// blocks are compared with those before the first request, so nobody else should use it meanwhile.
//
// Threads: the caller's does all bookkeeping; the client's only bring answers.
// Cost: two or three calls per request. Errors: those of asking the server about itself, before
// and after; errors of single requests are counted.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "rpc/client.h"
#include "tools/replay/replay_report.h"
#include "tools/replay/workload.h"

namespace plimsoll {

enum class ReplayWork : uint8_t { kHold, kGenerate };

struct ReplayProgress {
  int64_t requests;
  int64_t answered;
  int64_t running;
};

struct LiveReplayOptions {
  ReplayWork work = ReplayWork::kHold;
  Duration max_wait = std::chrono::hours(1);
  Duration ttl = Duration::zero();  // of each lease; zero: the server's default
  uint64_t seed = 0;                // of the prompt tokens
  int32_t vocab_size = 256;         // prompt tokens are below it
  // How long blocks may take to come back at the end; a grant that nobody heard of takes 5 s.
  Duration time_to_settle = std::chrono::seconds(10);
  std::function<void(const ReplayProgress&)> on_progress = {};  // a few times a second
};

absl::StatusOr<ReplayReport> ReplayAgainst(Client& client, const Workload& workload,
                                           const LiveReplayOptions& options);

}  // namespace plimsoll
