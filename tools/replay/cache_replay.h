// A trace against the prefix cache alone, without time: what an eviction policy is worth.
//
// Requests go one after the other, in the order of the trace. Each prompt is looked up, the part
// last block included, in the cache as the request before left it; then its blocks are kept, last
// to first; and only then is what exceeds the capacity evicted.
//
// Threads: none. Cost: O(1) for each block of a prompt. Errors: InvalidArgument from the options;
// ResourceExhausted without memory. The same input gives the same report.
#pragma once

#include <optional>
#include <span>

#include "absl/status/statusor.h"
#include "kvcache/pool/eviction.h"
#include "tools/replay/replay_report.h"
#include "tools/replay/trace.h"

namespace plimsoll {

struct CacheReplayOptions {
  Eviction eviction = Eviction::kLru;  // not off
  std::optional<Blocks> blocks = {};   // that may be cached; nullopt: all there are
  Tokens block_tokens = Tokens(512);
};

absl::StatusOr<ReplayReport> ReplayCache(std::span<const TraceRequest> trace,
                                         const CacheReplayOptions& options);

}  // namespace plimsoll
