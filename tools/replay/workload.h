// What a replay does with a trace: when each request is sent, how long it is, how long it holds.
//
// A request's prefill takes prompt / prefill_rate seconds and each output token decode_ms; `speed`
// divides these times and the arrivals alike, so a faster replay meets the same crowding;
// `arrivals` divides the arrivals only, so it meets more.
//
// Threads: values. Cost: O(requests). Errors: InvalidArgument naming the option.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"
#include "tools/replay/trace.h"

namespace plimsoll {

struct WorkloadOptions {
  double speed = 1.0;               // in (0, 1e9]
  double arrivals = 1.0;            // as many times more often, in (0, 1e9]; nothing else is faster
  double prefill_rate = 10000;      // prompt tokens per second, in (0, 1e12]
  double decode_ms = 30;            // of one output token, in [0, 1e9]
  double scale_lengths = 1.0;       // in (0, 1e6]; a length that is not 0 stays at least 1
  Tokens least_output = Tokens(0);  // shorter outputs are made this long
};

struct ReplayRequest {
  Duration arrival;  // after the first
  Tokens prompt;
  Tokens output;
  Duration prefill;
  std::vector<uint64_t> hash_ids = {};  // as in the trace; none where lengths are scaled

  Tokens total() const { return prompt + output; }
};

// Invariant: the requests one after the other would end within 31 years, so that no sum of times
// that a replay forms can overflow.
struct Workload {
  std::vector<ReplayRequest> requests;  // by arrival
  Duration decode_step;                 // of one output token

  // From admission to the last token.
  Duration HoldTime(const ReplayRequest& request) const {
    return request.prefill + decode_step * request.output.value();
  }
  // Token slots filled, added up over the hold time in nanoseconds: the prompt is there when the
  // prefill ends, each output token one step after the other.
  double TokenTime(const ReplayRequest& request) const;
};

absl::StatusOr<Workload> MakeWorkload(std::span<const TraceRequest> trace,
                                      const WorkloadOptions& options);

}  // namespace plimsoll
