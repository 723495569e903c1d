// Callers that wait for room: tenants take turns, each tenant's callers in order of arrival.
//
// Front() is the only one who may be served next; nobody overtakes, so a large request is not
// starved by small ones. A tenant whose line empties leaves the round and comes back at its end.
//
// Invariants, which CheckInvariants() verifies: a tenant is in the round exactly while somebody
// waits in its line; blocks() is what all who wait need together.
//
// Threads: none; the owner serialises calls. Cost: O(log n) per call. Errors: PopFront on an empty
// queue aborts.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>

#include "kvcache/admission/deadline_queue.h"
#include "kvcache/admission/reservation.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct Waiter {
  ReservationRequest request;
  Blocks needed;
  Instant deadline;  // the wait ends then
  std::function<void(const Answer&)> done;
};

class WaitQueue {
 public:
  // Goes to the end of its tenant's line. Returns a ticket, never used again.
  int64_t Push(Waiter waiter);
  // Whose turn it is; null when nobody waits.
  const Waiter* Front() const;
  // Takes the front out; its tenant goes to the end of the round.
  Waiter PopFront();
  // Takes one out without using up its tenant's turn; nullopt when it is no longer here.
  std::optional<Waiter> Remove(int64_t ticket);

  // The ticket whose wait ends first.
  std::optional<DeadlineQueue::Entry> EarliestDeadline() const { return deadlines_.Earliest(); }
  // A ticket with this tenant and request id, which is not empty.
  std::optional<int64_t> FindRequest(const std::string& tenant,
                                     const std::string& request_id) const;
  const Waiter& At(int64_t ticket) const;

  int64_t size() const { return std::ssize(waiters_); }
  Blocks blocks() const { return blocks_; }  // that all who wait need together

  void CheckInvariants() const;

 private:
  // One tenant's callers, by ticket, and the tenant's place in the round.
  struct Line {
    std::list<int64_t> tickets;
    std::list<std::string>::iterator turn;
  };
  struct Place {
    Waiter waiter;
    std::list<int64_t>::iterator in_line;
  };

  std::list<std::string> round_;  // tenants; the front one is next
  std::unordered_map<std::string, Line> lines_;
  std::unordered_map<int64_t, Place> waiters_;
  std::set<std::tuple<std::string, std::string, int64_t>> by_request_;  // tenant, id, ticket
  DeadlineQueue deadlines_;
  Blocks blocks_;
  int64_t next_ticket_ = 1;
};

}  // namespace plimsoll
