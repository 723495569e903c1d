// What a server says about its pool: who it is, and one whole snapshot.
//
// Threads: a value. Cost: two short strings. Errors: none.
#pragma once

#include <string>

#include "kvcache/admission/snapshot.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct CapacityReport {
  std::string pool;   // the pool's name
  std::string epoch;  // the server life
  Tokens block_tokens;
  Bytes block_bytes;  // zero where no model says how large a block is
  AdmissionSnapshot snapshot;
};

// Live and reserved blocks of all blocks, 0 to 1: what is not to be had, now.
double UsageOf(const AdmissionSnapshot& now);

// One JSON object with the keys pool, revision, epoch, block_tokens, block_bytes, total_blocks,
// live_blocks, cached_blocks, reserved_blocks, free_blocks, headroom_blocks, reservations, waiting,
// preempted and unfilled_slots; `indent` < 0 puts it on one line.
std::string ToJson(const CapacityReport& report, int indent = -1);

}  // namespace plimsoll
