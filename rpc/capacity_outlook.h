// What an operator wants to hear first: for how many more requests there is room, and how long
// until there is none. Worked out from a server's reports of the last minute, in one place, so that
// the page and the terminal say the same.
//
//   shape    blocks of a request of today: sum of (live + reserved) / sum of reservations over the
//            reports in which something is held, rounded up. So what long requests hold weighs as
//            long as they hold it, and a prefix that many share is counted once.
//   room     headroom / shape, rounded down
//   full in  (free + cached) / net rate, the rate being the slope of the least-squares line through
//            (free + cached) over time; said only where reports span five seconds or more, blocks
//            run down, and the end is less than a day away
//
// Threads: the functions are pure; RecentReports has none of its own. Cost: O(reports);
// RecentReports keeps at most a few hundred. Errors: none.
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <string>

#include "kvcache/admission/snapshot.h"
#include "kvcache/base/clock.h"
#include "rpc/capacity_report.h"

namespace plimsoll {

struct TimedSnapshot {
  Instant at;
  AdmissionSnapshot snapshot;
};

struct CapacityOutlook {
  AdmissionSnapshot now;             // the newest report
  std::optional<Blocks> shape;       // at least 1; none: nothing was held
  std::optional<int64_t> room;       // requests of that shape
  std::optional<Duration> full_in;   // none: it does not fill up, as far as can be told
  double net_blocks_per_second = 0;  // taken less given back; 0 where it cannot be told
};

// `recent` is one server life's reports, oldest first, of a pool of one size. Of none: of an empty
// report.
CapacityOutlook OutlookOf(std::span<const TimedSnapshot> recent);

// One sentence without a full stop, such as "room for 41 more requests of the current shape; full
// in about 3 min".
std::string SentenceOf(const CapacityOutlook& outlook);

// "about 40 s", "about 3 min", "about 2 h".
std::string AboutText(Duration duration);

// The reports of the last minute. Starts over when the server's life or the pool's size changes.
class RecentReports {
 public:
  static constexpr Duration kSpan = std::chrono::minutes(1);
  static constexpr Duration kLeastApart = std::chrono::milliseconds(200);

  // `at` never goes back. Of reports closer together than kLeastApart the last one counts.
  void Add(Instant at, const CapacityReport& report);
  CapacityOutlook Outlook() const;

 private:
  std::string epoch_;
  std::deque<TimedSnapshot> reports_;
};

}  // namespace plimsoll
