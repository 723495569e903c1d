// How fast blocks come back, lately: the base of "try again in two seconds".
//
// Returns are weighed by exp(-age / 30 s), so the rate follows the load and forgets the past.
//
// Threads: none; the owner serialises calls. Cost: O(1), one exponential. Errors: none.
#pragma once

#include <optional>

#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"

namespace plimsoll {

class ReturnRate {
 public:
  explicit ReturnRate(Instant start) : start_(start), last_(start) {}

  void Add(Blocks n, Instant now);
  // How long `n` blocks take to come back; nullopt when too few came back lately to tell.
  std::optional<Duration> TimeFor(Blocks n, Instant now) const;

 private:
  double WeightAt(Instant now) const;

  Instant start_;
  Instant last_;
  double weight_ = 0;  // blocks returned, each faded by its age, as of last_
};

}  // namespace plimsoll
