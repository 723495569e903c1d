// Callers that wait for room: who comes first, and whose turn it is.
//
// Within a tenant callers stand in one line: by time of arrival, where each class of priority is
// worth `step` of waiting. So whoever arrives more than (difference of classes) x step later comes
// later, whatever its class.
//
// Between tenants, those whose first caller is of the highest class take turns, where who has
// waited for `step` counts as one class higher. After at most (classes - 1) x step everybody is in
// the highest class, where nobody comes before it but those ahead in its tenant's line, with each
// of whom every other tenant has at most one turn.
//
// Those who come back after they gave way to others stand before all of that, most senior first.
//
// Front() is the only one who may be served next from what all share; nobody overtakes, so a large
// request is not starved by small ones. A tenant that is at its maximum steps aside with all its
// callers and keeps its turn; it returns when its first caller is another, or when it is told to.
// A tenant whose line empties leaves the round and comes back at its end. FrontOf a purse is the
// first of those who share a guaranteed minimum: it needs to wait for nobody else.
//
// Invariants, which CheckInvariants() verifies: a tenant has a line exactly while somebody waits in
// it; a line is either aside or in the round; blocks() is what all who wait and are not aside need
// together.
//
// Threads: none; the owner serialises calls. Cost: O(log n) per call. Errors: misuse aborts.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kvcache/admission/deadline_queue.h"
#include "kvcache/admission/lease_keeper.h"
#include "kvcache/admission/reservation.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct Waiter {
  ReservationRequest request;
  Blocks needed;
  size_t purse = 0;  // its tenant's, see tenant_book.h
  Instant deadline;  // the wait ends then
  std::function<void(const Answer&)> done;
  LeaseKeeper* keeper = nullptr;                    // of what it is granted
  std::optional<int64_t> seniority = std::nullopt;  // of one that comes back, see stalled_holders.h
  Instant since = {};                               // when it came; Push sets it
};

// What a newcomer has before it.
struct Ahead {
  bool first = true;             // it would be the front
  bool first_of_purse = true;    // it would be the front of its purse
  Blocks in_round = Blocks(0);   // blocks that those before it need; an upper bound
  Blocks of_tenant = Blocks(0);  // the same of its own tenant
};

class WaitQueue {
 public:
  WaitQueue(Duration step, size_t purses) : step_(step), by_purse_(purses) {}

  // Returns a ticket, never used again. Time does not run backwards from call to call.
  int64_t Push(Waiter waiter, Instant now);
  // What `request` would have before it.
  Ahead AheadOf(const ReservationRequest& request, std::optional<int64_t> seniority, size_t purse,
                Instant now) const;
  // Ticket of whose turn it is; nullopt when nobody waits or all are aside.
  std::optional<int64_t> Front() const;
  std::optional<int64_t> FrontOf(size_t purse) const;
  // Takes one out, and its tenant has had its turn.
  Waiter Serve(int64_t ticket);
  // Takes one out without using up its tenant's turn; nullopt when it is no longer here.
  std::optional<Waiter> Remove(int64_t ticket);
  // As Front, but where all are aside, the one of them whose turn is oldest.
  std::optional<int64_t> Anyone() const;

  void StepAside(const std::string& tenant);
  void Return(const std::string& tenant);  // harmless where it is not aside
  // A purse whose front may have changed since it was last taken here, or that Stir was told of.
  std::optional<size_t> TakeStirred();
  void Stir(size_t purse) { stirred_.insert(purse); }

  // Tenants have other purses now, of so many. Nobody is aside any more.
  void Repurse(size_t purses, const std::function<size_t(const std::string& tenant)>& purse_of);
  // Each who waits.
  template <class See>
  void SeeAll(See see) const {
    for (const auto& [ticket, place] : waiters_) see(place.waiter);
  }

  // Who has waited long enough by then counts as one class higher.
  void Promote(Instant now);
  std::optional<Instant> EarliestPromotion() const;
  // The ticket whose wait ends first.
  std::optional<DeadlineQueue::Entry> EarliestDeadline() const { return deadlines_.Earliest(); }
  // A ticket with this tenant and request id, which is not empty.
  std::optional<int64_t> FindRequest(const std::string& tenant,
                                     const std::string& request_id) const;
  const Waiter& At(int64_t ticket) const;

  // When the one came who waits longest; nullopt when nobody waits.
  std::optional<Instant> OldestArrival() const;

  int64_t size() const { return std::ssize(waiters_); }
  // In the requests of all who wait.
  int64_t prefix_hashes() const { return prefix_hashes_; }
  bool all_aside() const { return round_.empty(); }
  Blocks blocks() const { return blocks_; }  // that all who wait and are not aside need together

  void CheckInvariants() const;

 private:
  // A place in a tenant's line: when it would have arrived, were it of the lowest class.
  struct Rank {
    bool newcomer;  // or comes back
    int64_t since;  // in nanoseconds; or the seniority
    int64_t ticket;
    friend auto operator<=>(const Rank&, const Rank&) = default;
  };
  // A tenant's place in the round.
  struct Standing {
    int below;     // classes between its first caller's and the highest; -1: it comes back
    int64_t turn;  // or the seniority
    std::string tenant;
    friend auto operator<=>(const Standing&, const Standing&) = default;
  };
  struct Line {
    std::set<Rank> ranks;
    Blocks blocks;
    size_t purse = 0;
    int64_t turn = 0;
    int below = 0;
    int64_t place = 0;  // among those of one class: the turn, or the seniority
    bool aside = false;
    std::optional<Instant> promotion = std::nullopt;
  };
  struct Place {
    Waiter waiter;
    Rank rank;
    DeadlineQueue::Place end = std::nullopt;
  };
  using Lines = std::unordered_map<std::string, Line>;

  Rank RankOf(const ReservationRequest& request, std::optional<int64_t> seniority, int64_t ticket,
              Instant now) const;
  int BelowHighest(const Rank& rank, Instant now) const;
  Standing StandingOf(const Lines::value_type& line) const {
    return {line.second.below, line.second.place, line.first};
  }
  // Takes a line out of the round, aside or not, to be put in again once it has changed. A line
  // with another first caller is not aside any more, and an empty one is gone.
  void TakeOut(Lines::value_type& line);
  void PutIn(Lines::value_type& line, std::optional<Rank> first_before);
  void SetAside(const std::string& tenant, bool aside);

  const Duration step_;
  std::set<Standing> round_;  // of those who are not aside
  std::vector<std::set<Standing>> by_purse_;
  std::set<size_t> stirred_;
  std::set<std::pair<int64_t, std::string>> aside_;  // by turn
  std::set<std::pair<Instant, std::string>> promotions_;
  Lines lines_;
  std::map<int64_t, Place> waiters_;  // by ticket, so in order of arrival
  std::set<std::tuple<std::string, std::string, int64_t>> by_request_;  // tenant, id, ticket
  DeadlineQueue deadlines_;
  Blocks blocks_;
  int64_t prefix_hashes_ = 0;
  Instant now_ = Instant::min();
  int64_t next_ticket_ = 1;
  int64_t next_turn_ = 1;
};

}  // namespace plimsoll
