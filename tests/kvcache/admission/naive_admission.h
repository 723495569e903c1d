// Admission as plainly as it can be said, with quotas, priorities, a class that grows, and those
// who give way and come back: the judge of AdmissionController. It answers in words, so that a
// difference reads well.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/kvcache/admission/naive_state.h"

namespace plimsoll {

class NaiveAdmission : public NaiveState {
 public:
  std::string Reserve(const Ask& ask) {
    Catch();
    std::string answer = AnswerNow(ask);
    CountRefusal(answer);
    Serve();
    return answer;
  }

  // All answers, or that of the first one refused, with its place.
  std::string ReserveAll(const std::vector<Ask>& asks) {
    Catch();
    const NaiveAdmission before = *this;
    std::string answers;
    for (size_t i = 0; i < asks.size(); ++i) {
      const std::string answer = AnswerNow(asks[i]);
      if (answer.rfind("admitted", 0) == 0) {
        answers += answer + "; ";
        continue;
      }
      *this = before;
      CountRefusal(answer);
      Serve();
      return answer == "INVALID_ARGUMENT" ? answer : std::to_string(i) + ": " + answer;
    }
    Serve();
    return answers;
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
    const Waiter waiter{ticket, ask, now + max_wait, now, SeniorityOf(ask)};
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
    if (total > entry->tokens || BlocksOf(total) > entry->blocks) {
      const std::string refused = RefuseToGrow(*entry, total);
      if (!refused.empty()) {
        Serve();
        return refused;
      }
      std::erase_if(claims_, [&](auto& c) { return c.number == number; });
      entry->tokens = std::max(entry->tokens, total);
      entry->blocks = std::max(entry->blocks, BlocksOf(total));
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
      entry->gave_up = HasClaim(number);
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
    entry->gave_up = HasClaim(number);
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
      EndWait(TakeFrom(tenant), "wait DRAINING");
    }
  }

  // What is held, what is guaranteed, and all that one who grows may ever have has to fit.
  std::string Resize(int64_t to) {
    Catch();
    int64_t least = pool - Free();
    for (const std::string purse : {"a", "b", "others"}) least += UnusedOf(purse);
    for (const Entry& entry : entries_) {
      if (entry.ended >= 0 || !entry.ask.grows) continue;
      int64_t most = BlocksOf(entry.tokens);
      for (const std::string purse : {"a", "b", "others"}) {
        if (purse != PurseOf(entry.ask.tenant)) most += QuotaOf(purse).guaranteed;
      }
      least = std::max(least, most);
    }
    if (to < least) return "FAILED_PRECONDITION";
    pool = to;
    Serve();
    return "OK";
  }

  void Catch() {
    while (EndNext()) Serve();
    time_ = now;
    Serve();
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

  // Why it may not; empty where it may.
  std::string RefuseToGrow(const Entry& entry, int64_t total) {
    const std::string& tenant = entry.ask.tenant;
    const int64_t needed = BlocksOf(total);
    if (needed > MostEver(tenant)) return Never(tenant);
    const int64_t more = std::max<int64_t>(0, needed - entry.blocks);
    const int64_t beyond_quota = more - Left(tenant);
    const int64_t own = UnusedOf(PurseOf(tenant));
    const int64_t beyond_free = more <= own ? 0 : more - FreeTo(tenant, entry.seniority);
    const int64_t missing = std::max(beyond_free, beyond_quota);
    if (missing <= 0) return "";
    if (beyond_quota > 0) return "wait TENANT_QUOTA " + std::to_string(missing);
    const std::string refused = "wait NO_FREE_BLOCKS " + std::to_string(missing);
    if (!entry.ask.grows) return refused;
    const bool yield = OwedBefore(entry.seniority) > 0;
    std::erase_if(claims_, [&](auto& c) { return c.number == entry.number; });
    claims_.push_back({entry.number, entry.seniority, more - std::min(more, own), now + kOwedFor});
    return refused + (yield ? " yield" : "");
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
    if (NeverFits(ask)) return Never(ask.tenant);
    const Weighed weighed = Weigh(ask, AheadOf(ask));
    if (!weighed.reason.empty()) return weighed.reason + " " + std::to_string(weighed.missing);
    return Admitted(Grant(ask));
  }

  Entry Grant(const Ask& ask) {
    ++admitted;
    const int64_t seniority = SeniorityOf(ask);
    if (Entry* const resumed = Find(ask.resumes); resumed != nullptr && seniority > 0) {
      resumed->gave_up = false;
      ++came_back;
    }
    entries_.push_back({.number = next_number_,
                        .ask = ask,
                        .tokens = ask.prompt + ask.max_new,
                        .blocks = StartOf(ask),
                        .expires = now + std::min(TtlOf(ask), kConfirmWindow),
                        .seniority = seniority > 0 ? seniority : next_number_});
    ++next_number_;
    return entries_.back();
  }

  void CountRefusal(const std::string& answer) {
    refused_wait += answer.rfind("wait", 0) == 0 ? 1 : 0;
    refused_never += answer.rfind("never", 0) == 0 ? 1 : 0;
  }

  // A tenant that gives something back is aside no more.
  void Finish(Entry& entry) {
    entry.ended = now;
    std::erase_if(claims_, [&](auto& c) { return c.number == entry.number; });
    aside_.erase(entry.ask.tenant);
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

  // Of one who has left the queue.
  void EndWait(const Waiter& waiter, const std::string& why) {
    if (NeverFits(waiter.ask)) {
      TellNever(waiter);
    } else {
      Tell(waiter.ticket, why, Weigh(waiter.ask, AheadOf(waiter.ask)).missing);
    }
  }

  // It could when it came; its tenant's turn is not used up.
  bool TellNever(const Waiter& waiter) {
    Leave(waiter.ticket);
    CountRefusal("never");
    heard.push_back(std::to_string(waiter.ticket) + ": " + Never(waiter.ask.tenant));
    ++outgrown;
    return true;
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
        if (first.empty() || ComesBefore(tenant, StandingOf(first, *FirstOf(first)))) {
          first = tenant;
        }
      }
      if (first.empty()) continue;
      const Waiter waiter = *FirstOf(first);
      if (NeverFits(waiter.ask)) return TellNever(waiter);
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
    const Waiter waiter = *FirstOf(tenant);
    if (NeverFits(waiter.ask)) return TellNever(waiter);
    const Weighed weighed = Weigh(waiter.ask, {});
    if (weighed.reason == "wait TENANT_QUOTA") {
      aside_.insert(tenant);
      return true;
    }
    if (!weighed.reason.empty()) return false;
    Give(TakeFrom(tenant));
    return true;
  }
  // What its repeat got, if that was ahead of it.
  void Give(const Waiter& next) {
    const auto known = std::find_if(entries_.begin(), entries_.end(), [&](auto& e) {
      return !next.ask.request_id.empty() && e.ask == next.ask;
    });
    const bool repeats = known != entries_.end();
    Entry entry = repeats ? *known : Grant(next.ask);
    if (!repeats) ++waited;
    if (entry.running) SignOfLife(entry);
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
    const auto claim = std::min_element(claims_.begin(), claims_.end(), [](auto& x, auto& y) {
      return std::pair(x.lapses, x.number) < std::pair(y.lapses, y.number);
    });
    if (claim != claims_.end()) next = std::min(next, claim->lapses);
    if (next > now) return false;
    time_ = next;
    if (lease != nullptr && lease->expires == next) {
      ++expired;
      Finish(*lease);
    } else if (wait != nullptr && wait->deadline == next) {
      const Waiter over = *wait;
      Leave(over.ticket);
      EndWait(over, "wait WAIT_TIMEOUT");
    } else if (claim != claims_.end() && claim->lapses == next) {
      claims_.erase(claim);
    }
    return true;
  }
  int64_t next_number_ = 1;
};

}  // namespace plimsoll
