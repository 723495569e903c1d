// When a call is made again that found no server, or was told to come back later: soon at first,
// then less often, for a while; and not before the server said.
//
// Pauses differ at random, so that many clients do not come back at one moment; equal seeds give
// equal pauses.
//
// Threads: each call has its own. Cost: sleeps in Again. Errors: none.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "kvcache/admission/reservation.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

// Under one request_id what is asked again is the same request, which is granted once. Nobody else
// makes the same.
std::string RandomRequestId();

// The pauses alone. Each seed has its own.
class RetryPauses {
 public:
  explicit RetryPauses(uint64_t seed) : seed_(seed) {}

  // Between half of it and all of 50 ms, then of twice as much each time, at most of a second.
  Duration Next();
  // Of a server that said when to come back: from then to a quarter later.
  Duration NotBefore(Duration delay);

 private:
  Duration Between(Duration least, Duration most);

  uint64_t seed_;
  Duration longest_ = std::chrono::milliseconds(50);
};

class Attempts {
 public:
  Attempts(Duration retry_for, uint64_t seed);

  bool allowed() const { return retry_for_ > Duration::zero(); }
  // Whether a call that ended so is to be made again, after the pause that this takes: where there
  // was no server, or no answer in time.
  bool Again(const absl::Status& status);
  // The same of an answer: where it says to wait.
  bool Again(const Refusal& refusal);

 private:
  bool SleepFor(Duration pause);

  const Duration retry_for_;
  const Instant give_up_;
  RetryPauses pauses_;
};

}  // namespace plimsoll
