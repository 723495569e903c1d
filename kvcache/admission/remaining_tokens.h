// When blocks come back at the latest: each holder gives its own back after as many tokens as it
// may still generate.
//
// All holders generate at about the same pace, a token each step of the server, so there is one
// clock that counts tokens: a holder that may generate r more ends when the clock has moved on by
// r, whatever happens to the pace until then. The pace is measured where holders report how far
// they got; until one did, nothing is known. So the answer is a bound for holders that keep the
// pace; they may end, or be released, any time before.
//
// Invariants: a holder ends once. Whoever owns it keeps its place, so that nothing is looked up to
// find it again.
//
// Threads: none; the owner serialises calls. Cost: O(log n) to change, O(1) where a holder keeps
// the pace; TimeFor looks at kLookedAt holders at most. Errors: none.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/btree_set.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"

namespace plimsoll {

class RemainingTokens {
 public:
  static constexpr int kLookedAt = 32;
  using Place =
      std::optional<double>;  // of one holder: when it ends by the clock, if it is in here

  explicit RemainingTokens(Instant start) : read_(start) {}

  // The holder with this number may generate so many more.
  void Set(int64_t number, Place& place, Tokens remaining, Instant now);
  void Remove(int64_t number, Place& place);
  // A holder generated so many in so long.
  void Paced(Tokens generated, Duration time, Instant now);

  // How long until `n` blocks are back, where blocks_of(number) says how many a holder has; nullopt
  // where no pace is known or nobody is here. Beyond kLookedAt holders, what those give.
  template <class BlocksOf>
  std::optional<Duration> TimeFor(Blocks n, Instant now, const BlocksOf& blocks_of) const {
    if (seconds_ <= 0 || tokens_ <= 0 || ends_.empty()) return std::nullopt;
    Blocks coming;
    int looked_at = 0;
    double end = 0;
    for (const auto& [its_end, number] : ends_) {
      end = its_end;
      coming += blocks_of(number);
      if (coming >= n || ++looked_at == kLookedAt) break;
    }
    return TimeUntil(end, now);
  }

 private:
  double pace() const { return seconds_ > 0 ? tokens_ / seconds_ : 0; }  // tokens a second
  double ClockAt(Instant now) const;
  Duration TimeUntil(double end, Instant now) const;

  double clock_ = 0;  // at read_
  Instant read_;
  double tokens_ = 0;  // that were reported, what is long ago fading
  double seconds_ = 0;
  absl::btree_set<std::pair<double, int64_t>> ends_;
};

}  // namespace plimsoll
