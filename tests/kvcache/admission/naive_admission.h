// Admission as plainly as it can be said: vectors, scanned from end to end, whole milliseconds. The
// judge of AdmissionController. It answers in words, so that a difference reads well.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace plimsoll {

class NaiveAdmission {
 public:
  static constexpr int64_t kBlocks = 10;
  static constexpr int64_t kBlockTokens = 16;
  static constexpr int64_t kDefaultTtl = 3000;
  static constexpr int64_t kConfirmWindow = 1000;
  static constexpr int64_t kKept = 60000;

  struct Ask {
    std::string tenant;
    std::string request_id;
    int64_t prompt = 1;
    int64_t max_new = 0;
    int64_t ttl = 0;
    friend bool operator==(const Ask&, const Ask&) = default;
  };

  int64_t now = 0;
  bool draining = false;
  int64_t admitted = 0, waited = 0, refused_wait = 0, refused_never = 0, released = 0, expired = 0;
  std::vector<std::string> heard;  // what callers in the queue were told, in order

  int64_t Free() const {
    int64_t free = kBlocks;
    for (const Entry& entry : entries_) free -= entry.ended < 0 ? entry.blocks : 0;
    return free;
  }
  int64_t Held() const {
    return std::count_if(entries_.begin(), entries_.end(), [](auto& e) { return e.ended < 0; });
  }
  int64_t Waiting() const { return std::ssize(waiting_); }

  std::string Reserve(const Ask& ask) {
    Catch();
    std::string answer = AnswerNow(ask);
    CountRefusal(answer);
    return answer;
  }

  // The answer, or "queued".
  std::string ReserveOrWait(const Ask& ask, int64_t max_wait, int64_t ticket) {
    Catch();
    std::string answer = AnswerNow(ask);
    if (answer.rfind("wait NO_FREE_BLOCKS", 0) != 0 || max_wait == 0) {
      CountRefusal(answer);
      return answer;
    }
    if (std::find(turns_.begin(), turns_.end(), ask.tenant) == turns_.end()) {
      turns_.push_back(ask.tenant);
    }
    waiting_.push_back({ticket, ask, now + max_wait});
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
      const int64_t needed = BlocksOf(total);
      if (needed > kBlocks) return "never " + std::to_string(kBlocks * kBlockTokens);
      const int64_t missing = needed - entry->blocks - Free();
      if (missing > 0) return "wait NO_FREE_BLOCKS " + std::to_string(missing);
      entry->tokens = total;
      entry->blocks = needed;
    }
    SignOfLife(*entry);
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
      entry->ended = now;
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
    entry->ended = now;
    ++released;
    Serve();
  }

  void SetDraining(bool on) {
    Catch();
    draining = on;
    while (draining && !waiting_.empty()) {
      const Waiter waiter = TakeNext();
      Tell(waiter.ticket, "wait DRAINING", MissingFor(waiter.ask));
    }
  }

  void Catch() {
    while (EndNext()) Serve();
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

  int64_t MissingFor(const Ask& ask) const {
    int64_t wanted = BlocksOf(ask);
    for (const Waiter& waiter : waiting_) wanted += BlocksOf(waiter.ask);
    return std::max<int64_t>(0, wanted - Free());
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
    if (BlocksOf(ask) > kBlocks) return "never " + std::to_string(kBlocks * kBlockTokens);
    const std::string missing = std::to_string(MissingFor(ask));
    if (draining) return "wait DRAINING " + missing;
    if (missing != "0") return "wait NO_FREE_BLOCKS " + missing;
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

  // The first caller of the tenant whose turn it is.
  Waiter Next() const {
    return *std::find_if(waiting_.begin(), waiting_.end(),
                         [&](auto& w) { return w.ask.tenant == turns_.front(); });
  }
  Waiter TakeNext() {
    Waiter next = Next();
    Leave(next.ticket);
    if (!turns_.empty() && turns_.front() == next.ask.tenant) {
      std::rotate(turns_.begin(), turns_.begin() + 1, turns_.end());
    }
    return next;
  }
  void Leave(int64_t ticket) {
    std::erase_if(waiting_, [&](auto& w) { return w.ticket == ticket; });
    std::erase_if(turns_, [&](auto& tenant) {
      return std::none_of(waiting_.begin(), waiting_.end(),
                          [&](auto& w) { return w.ask.tenant == tenant; });
    });
  }

  void Tell(int64_t ticket, const std::string& what, int64_t missing) {
    CountRefusal(what);
    heard.push_back(std::to_string(ticket) + ": " + what + " " + std::to_string(missing));
  }

  void Serve() {
    while (!waiting_.empty() && BlocksOf(Next().ask) <= Free()) {
      const Waiter next = TakeNext();
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
  }

  // Ends the one lease or wait that was over first, if any is; leases before waits of the same
  // moment, lower numbers first.
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
    if (lease != nullptr && (wait == nullptr || lease->expires <= wait->deadline)) {
      ++expired;
      lease->ended = now;
      return true;
    }
    if (wait == nullptr) return false;
    const Waiter over = *wait;
    Leave(over.ticket);
    Tell(over.ticket, "wait WAIT_TIMEOUT", MissingFor(over.ask));
    return true;
  }

  std::vector<Entry> entries_;   // in order of number
  std::vector<Waiter> waiting_;  // in order of arrival
  std::vector<std::string> turns_;
  int64_t next_number_ = 1;
};

}  // namespace plimsoll
