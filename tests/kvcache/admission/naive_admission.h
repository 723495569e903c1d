// Admission as plainly as it can be said, quotas and priorities included: vectors, scanned from end
// to end, whole milliseconds. The judge of AdmissionController. It answers in words, so that a
// difference reads well.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace plimsoll {

class NaiveAdmission {
 public:
  static constexpr int64_t kBlocks = 16;
  static constexpr int64_t kBlockTokens = 16;
  static constexpr int64_t kDefaultTtl = 3000;
  static constexpr int64_t kConfirmWindow = 1000;
  static constexpr int64_t kKept = 60000;
  static constexpr int64_t kStep = 700;  // of waiting: what a class is worth

  struct Ask {
    std::string tenant;
    std::string request_id;
    int64_t prompt = 1;
    int64_t max_new = 0;
    int64_t ttl = 0;
    int64_t priority = 0;
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
  bool draining = false;
  int64_t admitted = 0, waited = 0, refused_wait = 0, refused_never = 0, released = 0, expired = 0;
  std::vector<std::string> heard;  // what callers in the queue were told, in order

  int64_t Free() const {
    int64_t free = kBlocks;
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

  std::string Reserve(const Ask& ask) {
    Catch();
    std::string answer = AnswerNow(ask);
    CountRefusal(answer);
    Serve();
    return answer;
  }

  // The answer, or "queued".
  std::string ReserveOrWait(const Ask& ask, int64_t max_wait, int64_t ticket) {
    Catch();
    std::string answer = AnswerNow(ask);
    const bool can_wait =
        answer.rfind("wait NO_FREE_BLOCKS", 0) == 0 || answer.rfind("wait TENANT_QUOTA", 0) == 0;
    if (!can_wait || max_wait == 0) {
      CountRefusal(answer);
      Serve();
      return answer;
    }
    if (std::find(turns_.begin(), turns_.end(), ask.tenant) == turns_.end()) {
      turns_.push_back(ask.tenant);
    }
    const Waiter waiter{ticket, ask, now + max_wait, now};
    const Waiter* const first = FirstOf(ask.tenant);
    if (first != nullptr && Before(waiter, *first)) aside_.erase(ask.tenant);
    waiting_.push_back(waiter);
    Serve();
    return "queued";
  }

  void CancelWait(int64_t ticket) {
    Leave(ticket);
    Catch();
    Serve();
  }

  std::string Extend(int64_t number, int64_t total) {
    Catch();
    Entry* const entry = FindHeld(number);
    if (entry == nullptr) return "NOT_FOUND";
    if (total > entry->tokens) {
      const std::string& tenant = entry->ask.tenant;
      const int64_t needed = BlocksOf(total);
      if (needed > MostEver(tenant)) return Never(tenant);
      const int64_t beyond_quota = needed - entry->blocks - Left(tenant);
      const int64_t missing = std::max(needed - entry->blocks - FreeTo(tenant), beyond_quota);
      if (missing > 0) {
        return (beyond_quota > 0 ? "wait TENANT_QUOTA " : "wait NO_FREE_BLOCKS ") +
               std::to_string(missing);
      }
      entry->tokens = total;
      entry->blocks = needed;
    }
    SignOfLife(*entry);
    Serve();
    return Admitted(*entry);
  }

  std::string Renew(int64_t number) {
    Catch();
    Entry* const entry = FindHeld(number);
    if (entry == nullptr) return "NOT_FOUND";
    SignOfLife(*entry);
    return Admitted(*entry);
  }

  std::string Release(int64_t number) {
    Catch();
    Entry* const entry = Find(number);
    if (entry == nullptr) return "NOT_FOUND";
    if (entry->running) {
      entry->stopping = true;
    } else if (entry->ended < 0) {
      ++released;
      Finish(*entry);
      Serve();
    }
    return "OK";
  }

  std::string Begin(int64_t number) {
    Catch();
    Entry* const entry = FindHeld(number);
    if (entry == nullptr) return "NOT_FOUND";
    if (entry->running) return "FAILED_PRECONDITION";
    SignOfLife(*entry);
    entry->running = true;
    return "OK";
  }

  void End(int64_t number) {
    Catch();
    Entry* const entry = Find(number);
    entry->running = false;
    Finish(*entry);
    ++released;
    Serve();
  }

  void SetDraining(bool on) {
    Catch();
    draining = on;
    while (draining && !waiting_.empty()) {
      std::string tenant = NextTenant();
      if (tenant.empty()) tenant = turns_.front();  // all are aside
      const Waiter waiter = TakeFrom(tenant);
      Tell(waiter.ticket, "wait DRAINING", Weigh(waiter.ask, AheadOf(waiter.ask)).missing);
    }
  }

  void Catch() {
    while (EndNext()) Serve();
    time_ = now;
    std::erase_if(entries_, [&](auto& e) { return e.ended >= 0 && e.ended + kKept <= now; });
  }

  std::vector<int64_t> Running() const {
    std::vector<int64_t> numbers;
    for (const Entry& entry : entries_) {
      if (entry.running) numbers.push_back(entry.number);
    }
    return numbers;
  }

 private:
  struct Entry {
    int64_t number;
    Ask ask;
    int64_t tokens;
    int64_t blocks;
    int64_t expires;
    bool running = false;
    bool stopping = false;
    int64_t ended = -1;
  };
  struct Waiter {
    int64_t ticket;
    Ask ask;
    int64_t deadline;
    int64_t arrived;
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

  Entry* Find(int64_t number) {
    for (Entry& entry : entries_) {
      if (entry.number == number) return &entry;
    }
    return nullptr;
  }
  Entry* FindHeld(int64_t number) {
    Entry* const entry = Find(number);
    return entry != nullptr && entry->ended < 0 && !entry->stopping ? entry : nullptr;
  }
  void SignOfLife(Entry& entry) { entry.expires = now + TtlOf(entry.ask); }

  // Until its maximum; of the minimum that it has or shares; of what is free.
  int64_t Left(const std::string& tenant) const { return QuotaOf(tenant).most - HeldBy(tenant); }
  int64_t UnusedOf(const std::string& purse) const {
    int64_t used = 0;
    for (const Entry& entry : entries_) {
      if (entry.ended < 0 && PurseOf(entry.ask.tenant) == purse) used += entry.blocks;
    }
    return std::max<int64_t>(0, QuotaOf(purse).guaranteed - used);
  }
  int64_t FreeTo(const std::string& tenant) const {
    int64_t free = Free();
    for (const std::string purse : {"a", "b", "others"}) {
      if (purse != PurseOf(tenant)) free -= UnusedOf(purse);
    }
    return free;
  }
  static int64_t MostEver(const std::string& tenant) {
    int64_t most = kBlocks;
    for (const std::string purse : {"a", "b", "others"}) {
      if (purse != PurseOf(tenant)) most -= QuotaOf(purse).guaranteed;
    }
    return std::min(most, QuotaOf(tenant).most);
  }
  static std::string Never(const std::string& tenant) {
    return "never " + std::to_string(MostEver(tenant) * kBlockTokens);
  }

  // Callers of one tenant stand in order of arrival, a class of priority being worth kStep.
  static bool Before(const Waiter& x, const Waiter& y) {
    const auto rank = [](const Waiter& w) {
      return std::pair(w.arrived - w.ask.priority * kStep, w.ticket);
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
    return std::min<int64_t>(2, waiter.ask.priority + (when - waiter.arrived) / kStep);
  }
  int64_t TurnOf(const std::string& tenant) const {
    return std::find(turns_.begin(), turns_.end(), tenant) - turns_.begin();
  }
  // Whether tenant x, which waits, comes before one with a first caller of this class and turn.
  bool ComesBefore(const std::string& x, int64_t priority, int64_t turn) const {
    if (aside_.contains(x)) return false;
    return std::pair(-ClassOf(*FirstOf(x), time_), TurnOf(x)) < std::pair(-priority, turn);
  }
  Ahead AheadOf(const Ask& ask) const {
    int64_t in_round = 0;
    for (const Waiter& waiter : waiting_) {
      if (!aside_.contains(waiter.ask.tenant)) in_round += BlocksOf(waiter.ask);
    }
    const Waiter self{INT64_MAX, ask, 0, now};
    const Waiter* const own = FirstOf(ask.tenant);
    if (own != nullptr && Before(*own, self)) {
      int64_t of_tenant = 0;
      for (const Waiter& waiter : waiting_) {
        if (waiter.ask.tenant == ask.tenant) of_tenant += BlocksOf(waiter.ask);
      }
      return {false, false, in_round, of_tenant};
    }
    Ahead ahead;
    for (const std::string& other : turns_) {
      if (other == ask.tenant || !ComesBefore(other, ask.priority, TurnOf(ask.tenant))) continue;
      ahead.first = false;
      ahead.blocks = in_round;
      if (PurseOf(other) == PurseOf(ask.tenant)) ahead.first_of_purse = false;
    }
    return ahead;
  }

  Weighed Weigh(const Ask& ask, const Ahead& ahead) const {
    const int64_t needed = BlocksOf(ask);
    const bool own = ahead.first_of_purse && needed <= UnusedOf(PurseOf(ask.tenant));
    const int64_t beyond_quota = ahead.of_tenant + needed - Left(ask.tenant);
    int64_t missing = own ? 0 : ahead.blocks + needed - FreeTo(ask.tenant);
    if (!own && !ahead.first) missing = std::max<int64_t>(missing, 1);
    missing = std::max<int64_t>(0, std::max(missing, beyond_quota));
    if (draining) return {"wait DRAINING", missing};
    if (missing == 0) return {"", 0};
    return {beyond_quota > 0 ? "wait TENANT_QUOTA" : "wait NO_FREE_BLOCKS", missing};
  }

  std::string AnswerNow(const Ask& ask) {
    for (const Entry& entry : entries_) {
      if (ask.request_id.empty() || entry.ask.request_id != ask.request_id) continue;
      if (entry.ask.tenant != ask.tenant) continue;
      if (!(entry.ask == ask)) return "INVALID_ARGUMENT";
      Entry shown = entry;
      if (shown.running) SignOfLife(shown);
      return Admitted(shown);
    }
    for (const Waiter& waiter : waiting_) {
      if (ask.request_id.empty() || waiter.ask.request_id != ask.request_id) continue;
      if (waiter.ask.tenant == ask.tenant && !(waiter.ask == ask)) return "INVALID_ARGUMENT";
    }
    if (BlocksOf(ask) > MostEver(ask.tenant)) return Never(ask.tenant);
    const Weighed weighed = Weigh(ask, AheadOf(ask));
    if (!weighed.reason.empty()) return weighed.reason + " " + std::to_string(weighed.missing);
    return Admitted(Grant(ask));
  }

  Entry Grant(const Ask& ask) {
    ++admitted;
    entries_.push_back({.number = next_number_++,
                        .ask = ask,
                        .tokens = ask.prompt + ask.max_new,
                        .blocks = BlocksOf(ask),
                        .expires = now + std::min(TtlOf(ask), kConfirmWindow)});
    return entries_.back();
  }

  void CountRefusal(const std::string& answer) {
    refused_wait += answer.rfind("wait", 0) == 0 ? 1 : 0;
    refused_never += answer.rfind("never", 0) == 0 ? 1 : 0;
  }

  // A tenant that gives something back is aside no more.
  void Finish(Entry& entry) {
    entry.ended = now;
    aside_.erase(entry.ask.tenant);
  }
  // Whose turn it is; empty when nobody waits or all are aside.
  std::string NextTenant() const {
    std::string next;
    for (const std::string& tenant : turns_) {
      if (aside_.contains(tenant)) continue;
      if (next.empty() || ComesBefore(tenant, ClassOf(*FirstOf(next), time_), TurnOf(next))) {
        next = tenant;
      }
    }
    return next;
  }
  // Its tenant has had its turn.
  Waiter TakeFrom(const std::string& tenant) {
    const Waiter next = *FirstOf(tenant);
    Leave(next.ticket);
    if (const auto turn = std::find(turns_.begin(), turns_.end(), tenant); turn != turns_.end()) {
      std::rotate(turn, turn + 1, turns_.end());
    }
    return next;
  }
  void Leave(int64_t ticket) {
    const auto leaving =
        std::find_if(waiting_.begin(), waiting_.end(), [&](auto& w) { return w.ticket == ticket; });
    if (leaving == waiting_.end()) return;
    if (FirstOf(leaving->ask.tenant)->ticket == ticket) aside_.erase(leaving->ask.tenant);
    waiting_.erase(leaving);
    std::erase_if(turns_, [&](auto& tenant) { return FirstOf(tenant) == nullptr; });
  }

  void Tell(int64_t ticket, const std::string& what, int64_t missing) {
    CountRefusal(what);
    heard.push_back(std::to_string(ticket) + ": " + what + " " + std::to_string(missing));
  }

  void Serve() {
    while (ServeOwn() || ServeNext()) {
    }
  }
  // One of those who need only what is left of the minimum that they have or share.
  bool ServeOwn() {
    for (const std::string purse : {"others", "a", "b"}) {
      std::string first;
      for (const std::string& tenant : turns_) {
        if (PurseOf(tenant) != purse || aside_.contains(tenant)) continue;
        if (first.empty() || ComesBefore(tenant, ClassOf(*FirstOf(first), time_), TurnOf(first))) {
          first = tenant;
        }
      }
      if (first.empty()) continue;
      const Waiter waiter = *FirstOf(first);
      const Weighed weighed = Weigh(waiter.ask, {.first = false});
      if (weighed.reason == "wait TENANT_QUOTA") {
        aside_.insert(first);
        return true;
      }
      if (!weighed.reason.empty()) continue;
      Leave(waiter.ticket);
      Give(waiter);
      return true;
    }
    return false;
  }
  bool ServeNext() {
    const std::string tenant = NextTenant();
    if (tenant.empty()) return false;
    const Weighed weighed = Weigh(FirstOf(tenant)->ask, {});
    if (weighed.reason == "wait TENANT_QUOTA") {
      aside_.insert(tenant);
      return true;
    }
    if (!weighed.reason.empty()) return false;
    Give(TakeFrom(tenant));
    return true;
  }
  void Give(const Waiter& next) {
    const Entry entry = Grant(next.ask);
    ++waited;
    heard.push_back(std::to_string(next.ticket) + ": " + Admitted(entry));
    const std::vector<Waiter> others = waiting_;
    for (const Waiter& other : others) {
      if (other.ask.request_id.empty() || !(other.ask == next.ask)) continue;
      Leave(other.ticket);
      heard.push_back(std::to_string(other.ticket) + ": " + Admitted(entry));
    }
  }

  // Ends the one lease or wait that was over first, if any is, or goes on to when somebody counts
  // as of a higher class; leases before waits of the same moment, lower numbers first.
  bool EndNext() {
    Entry* lease = nullptr;
    for (Entry& entry : entries_) {
      if (entry.ended >= 0 || entry.running || entry.expires > now) continue;
      if (lease == nullptr || entry.expires < lease->expires) lease = &entry;
    }
    const Waiter* wait = nullptr;
    for (const Waiter& waiter : waiting_) {
      if (waiter.deadline > now) continue;
      if (wait == nullptr || waiter.deadline < wait->deadline) wait = &waiter;
    }
    int64_t next = now + 1;
    if (lease != nullptr) next = std::min(next, lease->expires);
    if (wait != nullptr) next = std::min(next, wait->deadline);
    for (const std::string& tenant : turns_) {
      if (!aside_.contains(tenant)) next = std::min(next, NextClassAt(*FirstOf(tenant)));
    }
    if (next > now) return false;
    time_ = next;
    if (lease != nullptr && lease->expires == next) {
      ++expired;
      Finish(*lease);
    } else if (wait != nullptr && wait->deadline == next) {
      const Waiter over = *wait;
      Leave(over.ticket);
      Tell(over.ticket, "wait WAIT_TIMEOUT", Weigh(over.ask, AheadOf(over.ask)).missing);
    }
    return true;
  }
  // When it counts as of another class than it does at time_.
  int64_t NextClassAt(const Waiter& waiter) const {
    const int64_t now_of = ClassOf(waiter, time_);
    if (now_of == 2) return INT64_MAX;
    return waiter.arrived + (now_of + 1 - waiter.ask.priority) * kStep;
  }

  std::vector<Entry> entries_;   // in order of number
  std::vector<Waiter> waiting_;  // in order of arrival
  std::vector<std::string> turns_;
  std::set<std::string> aside_;  // found to be at their maximum when it was their turn
  int64_t time_ = 0;             // up to which all is done
  int64_t next_number_ = 1;
};

}  // namespace plimsoll
