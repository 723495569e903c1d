// When a call that found no server is made again: soon at first, then less often, for a while.
// Pauses differ at random, so that many clients do not come back at one moment.
//
// Threads: each call has its own. Cost: sleeps in Again. Errors: none.
#pragma once

#include "absl/status/status.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

class Attempts {
 public:
  explicit Attempts(Duration retry_for);

  bool allowed() const { return retry_for_ > Duration::zero(); }
  // Whether a call that ended so is to be made again, after the pause that this takes.
  bool Again(const absl::Status& status);

 private:
  const Duration retry_for_;
  const Instant give_up_;
  Duration pause_;
};

}  // namespace plimsoll
