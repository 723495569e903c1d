// What admission knows, as plainly as it can be said, and what follows from it: who holds what,
// what is free to whom, who comes before whom. Vectors, scanned from end to end, whole
// milliseconds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace plimsoll {

class NaiveState {
 public:
  static constexpr int64_t kBlocks = 16;
  static constexpr int64_t kBlockTokens = 16;
  static constexpr int64_t kDefaultTtl = 3000;
  static constexpr int64_t kConfirmWindow = 1000;
  static constexpr int64_t kKept = 60000;
  static constexpr int64_t kStep = 700;    // of waiting: what a class is worth
  static constexpr int64_t kKeptFree = 1;  // blocks, for those who grow
  static constexpr int64_t kOwedFor = 5000;

  struct Ask {
    std::string tenant;
    std::string request_id;
    int64_t prompt = 1;
    int64_t max_new = 0;
    int64_t ttl = 0;
    int64_t priority = 0;
    bool grows = false;   // of the class that is promised its prompt and one token
    int64_t resumes = 0;  // number of a reservation that gave way; 0: none
    friend bool operator==(const Ask&, const Ask&) = default;
  };

  // The tenants a and b have quotas of their own; all others share the last one's minimum.
  struct Quota {
    int64_t guaranteed, most;
  };
  static Quota QuotaOf(const std::string& tenant) {
    if (tenant == "a") return {3, 8};
    if (tenant == "b") return {4, 16};
    return {2, 9};
  }
  static std::string PurseOf(const std::string& tenant) {
    return tenant == "a" || tenant == "b" ? tenant : "others";
  }

  int64_t now = 0;
  int64_t pool = kBlocks;  // blocks
  bool draining = false;
  int64_t admitted = 0, waited = 0, refused_wait = 0, refused_never = 0, released = 0, expired = 0;
  int64_t outgrown = 0;            // waited when the pool became too small for them
  int64_t came_back = 0;           // after they gave way
  std::vector<std::string> heard;  // what callers in the queue were told, in order

  int64_t Free() const {
    int64_t free = pool;
    for (const Entry& entry : entries_) free -= entry.ended < 0 ? entry.blocks : 0;
    return free;
  }
  int64_t HeldBy(const std::string& tenant) const {
    int64_t held = 0;
    for (const Entry& entry : entries_) {
      if (entry.ended < 0 && entry.ask.tenant == tenant) held += entry.blocks;
    }
    return held;
  }
  int64_t Held() const {
    return std::count_if(entries_.begin(), entries_.end(), [](auto& e) { return e.ended < 0; });
  }
  int64_t Waiting() const { return std::ssize(waiting_); }

 protected:
  struct Entry {
    int64_t number;
    Ask ask;
    int64_t tokens;
    int64_t blocks;
    int64_t expires;
    bool running = false;
    bool stopping = false;
    int64_t seniority = 0;
    bool gave_up = false;
    int64_t ended = -1;
  };
  // What a holder that was refused room to grow is owed.
  struct Claim {
    int64_t number, seniority, lacks, lapses;
  };
  struct Waiter {
    int64_t ticket;
    Ask ask;
    int64_t deadline;
    int64_t arrived;
    int64_t seniority = 0;  // of one that comes back; 0: a newcomer
  };
  // What a request has before it.
  struct Ahead {
    bool first = true;
    bool first_of_purse = true;
    int64_t blocks = 0;
    int64_t of_tenant = 0;
  };
  struct Weighed {
    std::string reason;  // empty: it may start
    int64_t missing;
  };

  static int64_t BlocksOf(int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }
  static int64_t BlocksOf(const Ask& ask) { return BlocksOf(ask.prompt + ask.max_new); }
  static std::string Admitted(const Entry& entry) {
    return "admitted e-" + std::to_string(entry.number) + " blocks " +
           std::to_string(entry.blocks) + " until " + std::to_string(entry.expires);
  }
  static int64_t TtlOf(const Ask& ask) { return ask.ttl == 0 ? kDefaultTtl : ask.ttl; }

  // Until its maximum; of the minimum that it has or shares; of what is free.
  int64_t Left(const std::string& tenant) const { return QuotaOf(tenant).most - HeldBy(tenant); }
  int64_t UnusedOf(const std::string& purse) const {
    int64_t used = 0;
    for (const Entry& entry : entries_) {
      if (entry.ended < 0 && PurseOf(entry.ask.tenant) == purse) used += entry.blocks;
    }
    return std::max<int64_t>(0, QuotaOf(purse).guaranteed - used);
  }
  bool HasClaim(int64_t number) const {
    return std::any_of(claims_.begin(), claims_.end(), [&](auto& c) { return c.number == number; });
  }
  // To the one that came first, where that was before this one.
  int64_t OwedBefore(int64_t seniority) const {
    const auto first = std::min_element(claims_.begin(), claims_.end(),
                                        [](auto& x, auto& y) { return x.seniority < y.seniority; });
    return first != claims_.end() && first->seniority < seniority ? first->lacks : 0;
  }
  // Of the reservation that it goes on with; 0 for a newcomer.
  int64_t SeniorityOf(const Ask& ask) const {
    for (const Entry& entry : entries_) {
      if (ask.resumes == 0 || entry.number != ask.resumes) continue;
      if (entry.gave_up && entry.ask.tenant == ask.tenant) return entry.seniority;
    }
    return 0;
  }
  int64_t Growing() const {
    return std::count_if(entries_.begin(), entries_.end(),
                         [](auto& e) { return e.ended < 0 && e.ask.grows; });
  }
  static int64_t StartOf(const Ask& ask) {
    const int64_t first_step = std::min(ask.prompt + 1, ask.prompt + ask.max_new);
    return ask.grows ? BlocksOf(first_step) : BlocksOf(ask);
  }
  bool MayStart(const Ask& ask, int64_t free) const {
    if (!ask.grows) return true;
    if (StartOf(ask) + (Growing() > 0 ? kKeptFree * pool / kBlocks : 0) > free) return false;
    const bool alone = SeniorityOf(ask) == 0 || Growing() == 0;
    return alone || StartOf(ask) + BlocksOf(4 * Growing()) <= free;
  }
  int64_t FreeTo(const std::string& tenant, int64_t seniority = INT64_MAX) const {
    int64_t free = Free();
    for (const std::string purse : {"a", "b", "others"}) {
      if (purse != PurseOf(tenant)) free -= UnusedOf(purse);
    }
    const int64_t borrowed = free - UnusedOf(PurseOf(tenant));
    return free - std::min(borrowed, OwedBefore(seniority));
  }
  int64_t MostEver(const std::string& tenant) const {
    int64_t most = pool;
    for (const std::string purse : {"a", "b", "others"}) {
      if (purse != PurseOf(tenant)) most -= QuotaOf(purse).guaranteed;
    }
    return std::min(most, QuotaOf(tenant).most);
  }
  std::string Never(const std::string& tenant) const {
    return "never " + std::to_string(MostEver(tenant) * kBlockTokens);
  }
  bool NeverFits(const Ask& ask) const { return BlocksOf(ask) > MostEver(ask.tenant); }

  // Callers of one tenant stand in order of arrival, a class of priority being worth kStep.
  static bool Before(const Waiter& x, const Waiter& y) {
    const auto rank = [](const Waiter& w) {
      const int64_t since = w.arrived - w.ask.priority * kStep;
      return std::tuple(w.seniority == 0, w.seniority == 0 ? since : w.seniority, w.ticket);
    };
    return rank(x) < rank(y);
  }
  const Waiter* FirstOf(const std::string& tenant) const {
    const Waiter* first = nullptr;
    for (const Waiter& waiter : waiting_) {
      if (waiter.ask.tenant != tenant) continue;
      if (first == nullptr || Before(waiter, *first)) first = &waiter;
    }
    return first;
  }
  static int64_t ClassOf(const Waiter& waiter, int64_t when) {
    if (waiter.seniority > 0) return 3;  // before all newcomers
    return std::min<int64_t>(2, waiter.ask.priority + (when - waiter.arrived) / kStep);
  }
  int64_t TurnOf(const std::string& tenant) const {
    return std::find(turns_.begin(), turns_.end(), tenant) - turns_.begin();
  }
  // Where a tenant stands: the class of its first caller, then its turn, or the seniority.
  using Standing = std::pair<int64_t, int64_t>;
  Standing StandingOf(const std::string& tenant, const Waiter& first) const {
    return {-ClassOf(first, time_), first.seniority > 0 ? first.seniority : TurnOf(tenant)};
  }
  bool ComesBefore(const std::string& x, const Standing& standing) const {
    return !aside_.contains(x) && StandingOf(x, *FirstOf(x)) < standing;
  }
  Ahead AheadOf(const Ask& ask) const {
    int64_t in_round = 0;
    for (const Waiter& waiter : waiting_) {
      if (!aside_.contains(waiter.ask.tenant)) in_round += StartOf(waiter.ask);
    }
    const Waiter self{INT64_MAX, ask, 0, now, SeniorityOf(ask)};
    const Waiter* const own = FirstOf(ask.tenant);
    if (own != nullptr && Before(*own, self)) {
      int64_t of_tenant = 0;
      for (const Waiter& waiter : waiting_) {
        if (waiter.ask.tenant == ask.tenant) of_tenant += StartOf(waiter.ask);
      }
      return {false, false, in_round, of_tenant};
    }
    Ahead ahead;
    Standing standing{-ask.priority, TurnOf(ask.tenant)};
    if (self.seniority > 0) standing = StandingOf(ask.tenant, self);
    for (const std::string& other : turns_) {
      if (other == ask.tenant || !ComesBefore(other, standing)) continue;
      ahead.first = false;
      ahead.blocks = in_round;
      if (PurseOf(other) == PurseOf(ask.tenant)) ahead.first_of_purse = false;
    }
    return ahead;
  }

  Weighed Weigh(const Ask& ask, const Ahead& ahead) const {
    const int64_t needed = StartOf(ask);
    const bool own = ahead.first_of_purse && BlocksOf(ask) <= UnusedOf(PurseOf(ask.tenant));
    const bool may = own || (ahead.first && MayStart(ask, FreeTo(ask.tenant)));
    const int64_t beyond_quota = ahead.of_tenant + needed - Left(ask.tenant);
    int64_t missing = own ? 0 : ahead.blocks + needed - FreeTo(ask.tenant);
    if (!may) missing = std::max<int64_t>(missing, 1);
    missing = std::max<int64_t>(0, std::max(missing, beyond_quota));
    if (draining) return {"wait DRAINING", missing};
    if (missing == 0) return {"", 0};
    return {beyond_quota > 0 ? "wait TENANT_QUOTA" : "wait NO_FREE_BLOCKS", missing};
  }

  // Whose turn it is; empty when nobody waits or all are aside.
  std::string NextTenant() const {
    std::string next;
    for (const std::string& tenant : turns_) {
      if (aside_.contains(tenant)) continue;
      if (next.empty() || ComesBefore(tenant, StandingOf(next, *FirstOf(next)))) {
        next = tenant;
      }
    }
    return next;
  }
  // When it counts as of another class than it does at time_.
  int64_t NextClassAt(const Waiter& waiter) const {
    const int64_t now_of = ClassOf(waiter, time_);
    if (now_of >= 2) return INT64_MAX;
    return waiter.arrived + (now_of + 1 - waiter.ask.priority) * kStep;
  }

  std::vector<Entry> entries_;   // in order of number
  std::vector<Waiter> waiting_;  // in order of arrival
  std::vector<std::string> turns_;
  std::vector<Claim> claims_;
  std::set<std::string> aside_;  // found to be at their maximum when it was their turn
  int64_t time_ = 0;             // up to which all is done
};

}  // namespace plimsoll
