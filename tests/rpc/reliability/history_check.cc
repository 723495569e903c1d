#include "tests/rpc/reliability/history_check.h"

#include <algorithm>
#include <limits>
#include <map>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_format.h"

namespace plimsoll {
namespace {

constexpr size_t kMostFaults = 20;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kSecond = 1'000'000'000;

std::string EpochOf(const std::string& reservation) {
  return reservation.substr(0, reservation.rfind('-'));
}

// What is known of one reservation.
struct Held {
  std::string request;
  int64_t from = 0;        // the answer that granted it
  int64_t sure_until = 0;  // its lease lives at least so long
  int64_t ttl = 0;
  int64_t release_sent = kNever;
  std::vector<std::pair<int64_t, int64_t>> sizes;  // since when, how many blocks
};

// A request for room: when it was asked for and answered.
struct Turn {
  int64_t sent, answered;
  std::string name;
};

class Checker {
 public:
  explicit Checker(const HistoryRules& rules) : rules_(rules) {}

  HistoryReport Check(const std::vector<HistoryEvent>& events) {
    for (const HistoryEvent& event : events) Take(event);
    if (!events.empty()) {
      report_.seconds = static_cast<double>(events.back().at - events.front().at) / 1e9;
    }
    EndUnanswered(events.empty() ? 0 : events.back().at);
    CheckCapacity();
    CheckTurns();
    CountSeconds();
    if (!saw_capacity_) Fault("leak", "nobody looked what was free at the end");
    if (!last_free_) Fault("leak", "at the end " + last_capacity_);
    report_.grants = std::ssize(held_) - renamed_;
    return std::move(report_);
  }

 private:
  using CallKey = std::pair<int64_t, int64_t>;  // client, call

  void Take(const HistoryEvent& event) {
    switch (event.kind) {
      case HistoryKind::kSend:
        return Sent(event);
      case HistoryKind::kAnswer:
        return Answered(event);
      case HistoryKind::kTold:
        return Told(event);
      case HistoryKind::kClientKilled:
        ++report_.clients_killed;
        killed_[event.client] = event.at;
        return;
      case HistoryKind::kServer:
        if (event.started) server_starts_.push_back(event.at);
        if (!event.started) server_deaths_.push_back(event.at);
        report_.server_lives = std::ssize(server_starts_);
        return;
      case HistoryKind::kCapacity:
        saw_capacity_ = true;
        last_free_ = event.free == event.total && event.reservations == 0;
        last_capacity_ = absl::StrFormat("%d of %d blocks are free beside %d reservations",
                                         event.free, event.total, event.reservations);
        return;
    }
  }

  void Sent(const HistoryEvent& event) {
    ++report_.calls;
    if (!open_.emplace(CallKey(event.client, event.call), event).second) {
      return Fault("record", absl::StrFormat("call %d of client %d was sent twice", event.call,
                                             event.client));
    }
    if (event.operation == HistoryOperation::kReserve) first_sent_.emplace(event.name, event.at);
    if (event.operation != HistoryOperation::kRelease) return;
    const auto found = held_.find(event.name);
    if (found == held_.end()) return;
    found->second.release_sent = std::min(found->second.release_sent, event.at);
  }

  void Answered(const HistoryEvent& event) {
    const auto found = open_.find(CallKey(event.client, event.call));
    if (found == open_.end()) {
      return Fault("record", absl::StrFormat("client %d heard an answer to call %d, which is open "
                                             "no more or was never sent",
                                             event.client, event.call));
    }
    const HistoryEvent sent = std::move(found->second);
    open_.erase(found);
    ++report_.answered;
    const bool decided =
        sent.operation == HistoryOperation::kReserve || sent.operation == HistoryOperation::kExtend;
    if (decided && event.outcome != HistoryOutcome::kFailed) {
      ++report_.decisions;
      ++decisions_in_[event.at / kSecond];
      last_decision_ = event.at;
    }
    if (event.at - sent.at > sent.max_wait + rules_.answer_slack) {
      Fault("wait", absl::StrFormat("client %d waited %.1f s for call %d, which was to wait %.1f s",
                                    event.client, Seconds(event.at - sent.at), event.call,
                                    Seconds(sent.max_wait)));
    }
    if (sent.operation == HistoryOperation::kReserve && sent.max_wait > 0) {
      const bool heard = event.outcome != HistoryOutcome::kFailed;
      if (heard) waits_.push_back({.sent = sent.at, .answered = event.at, .name = sent.name});
    }
    if (event.outcome == HistoryOutcome::kGranted) return Granted(sent, event);
    const bool lost = event.outcome == HistoryOutcome::kLost;
    if (lost || event.outcome == HistoryOutcome::kStale) Lost(sent, event, lost);
  }

  void Granted(const HistoryEvent& sent, const HistoryEvent& answer) {
    if (sent.operation == HistoryOperation::kReserve) return Reserved(sent, answer);
    if (sent.operation == HistoryOperation::kClaim) ++report_.claims;
    const bool renamed = sent.operation == HistoryOperation::kClaim && answer.name != sent.name;
    if (renamed) return Renamed(sent, answer);
    const auto found = held_.find(sent.name);
    if (found == held_.end() || answer.name != sent.name) {
      return Fault("names", absl::StrFormat("asked about %s, client %d heard about %s", sent.name,
                                            sent.client, answer.name));
    }
    Held& held = found->second;
    held.sure_until = std::max(held.sure_until, sent.at + held.ttl);
    if (answer.blocks > held.sizes.back().second) held.sizes.emplace_back(answer.at, answer.blocks);
  }

  void Reserved(const HistoryEvent& sent, const HistoryEvent& answer) {
    const auto [found, fresh] = held_.try_emplace(answer.name);
    Held& held = found->second;
    if (!fresh) {
      if (held.request != sent.name || sent.name == "-") {
        Fault("names", absl::StrFormat("reservation %s answers the requests %s and %s", answer.name,
                                       held.request, sent.name));
      }
      return;  // asked again
    }
    held.request = sent.name;
    held.from = answer.at;
    held.ttl = sent.ttl;
    // The grant may be the answer to an earlier call that nobody heard.
    const int64_t asked = sent.name == "-" ? sent.at : first_sent_.at(sent.name);
    held.sure_until = asked + std::min(sent.ttl, rules_.confirm_window);
    held.sizes.emplace_back(answer.at, answer.blocks);
    grants_.push_back({.sent = asked, .answered = answer.at, .name = sent.name});
    NameGrant(answer, sent.name);
  }

  void NameGrant(const HistoryEvent& answer, const std::string& request) {
    life_began_.try_emplace(EpochOf(answer.name), answer.at);
    if (request == "-") return;
    const auto [known, first] =
        granted_to_.emplace(EpochOf(answer.name) + " " + request, answer.name);
    if (!first) {
      Fault("names", absl::StrFormat("request %s was granted %s and %s", request, known->second,
                                     answer.name));
    }
  }

  // By a session, whose stream lived at some time since.
  void Told(const HistoryEvent& event) {
    const auto found = held_.find(event.name);
    if (found == held_.end()) {
      return Fault("names", absl::StrFormat("client %d was told of %s, which nobody was granted",
                                            event.client, event.name));
    }
    if (event.outcome != HistoryOutcome::kGranted) {
      return Lost({.operation = HistoryOperation::kRenew, .name = event.name}, event, true);
    }
    ++report_.kept;
    found->second.sure_until = std::max(found->second.sure_until, event.since + event.ttl);
  }

  // The same promise under the name of another life: whoever claims it was granted it before.
  void Renamed(const HistoryEvent& sent, const HistoryEvent& answer) {
    const auto earlier = held_.find(sent.name);
    if (earlier == held_.end()) {
      return Fault("record", absl::StrFormat("client %d claimed %s, which nobody was granted",
                                             sent.client, sent.name));
    }
    Held& before = earlier->second;
    before.release_sent = std::min(before.release_sent, answer.at);
    const Held now{.request = before.request,
                   .from = answer.at,
                   .sure_until = sent.at + before.ttl,
                   .ttl = before.ttl,
                   .sizes = {{answer.at, answer.blocks}}};
    const auto [found, fresh] = held_.try_emplace(answer.name, now);
    if (fresh) {
      ++renamed_;
      return NameGrant(answer, now.request);
    }
    if (found->second.request != now.request) {
      Fault("names", absl::StrFormat("%s is called %s, which answered the request %s", sent.name,
                                     answer.name, found->second.request));
    }
    found->second.sure_until = std::max(found->second.sure_until, now.sure_until);
  }

  void LostClaim(const HistoryEvent& sent, const HistoryEvent& answer, Held& held) {
    const bool died = !rules_.learning && DeathOf(EpochOf(sent.name)) <= answer.at;
    if (!died && answer.at < std::min(held.sure_until, held.release_sent)) {
      Fault("leases", absl::StrFormat("%s was claimed in time by client %d and lost", sent.name,
                                      sent.client));
    }
    held.release_sent = std::min(held.release_sent, answer.at);
  }

  // Lost in a server's own life, or with it.
  void Lost(const HistoryEvent& sent, const HistoryEvent& answer, bool same_life) {
    const auto found = held_.find(sent.name);
    if (found == held_.end() || sent.operation == HistoryOperation::kRelease) return;
    Held& held = found->second;
    if (sent.operation == HistoryOperation::kClaim) return LostClaim(sent, answer, held);
    if (held.release_sent <= answer.at) return;
    if (DeathOf(EpochOf(sent.name)) <= answer.at) return;
    if (!same_life) {
      return Fault("leases",
                   absl::StrFormat("%s was called stale by the server that gave it", sent.name));
    }
    if (answer.at >= held.sure_until) return;
    Fault("leases", absl::StrFormat("%s ended %.3f s before its lease could", sent.name,
                                    Seconds(held.sure_until - answer.at)));
  }

  void EndUnanswered(int64_t end) {
    for (const auto& [key, sent] : open_) {
      const auto killed = killed_.find(key.first);
      const int64_t waited =
          (killed != killed_.end() && killed->second >= sent.at ? killed->second : end) - sent.at;
      const bool in_time = waited <= sent.max_wait + rules_.answer_slack;
      if (killed != killed_.end() && killed->second >= sent.at && in_time) continue;
      Fault("wait", absl::StrFormat("call %d of client %d was not answered in %.1f s", key.second,
                                    key.first, Seconds(waited)));
    }
  }

  // When the server's life with this epoch was over: the first death after its first answer. An
  // answer may be read late, after a death, but not all of a life are.
  int64_t DeathOf(const std::string& epoch) const {
    const auto death =
        std::upper_bound(server_deaths_.begin(), server_deaths_.end(), life_began_.at(epoch));
    return death == server_deaths_.end() ? kNever : *death;
  }

  void CheckCapacity() {
    std::vector<std::pair<int64_t, int64_t>> changes;  // when, blocks; what ends comes first
    for (const auto& [name, held] : held_) {
      const int64_t death = rules_.learning ? kNever : DeathOf(EpochOf(name));
      const int64_t end = std::min({held.release_sent, held.sure_until, death});
      int64_t before = 0;
      for (const auto& [since, blocks] : held.sizes) {
        if (since >= end) break;
        changes.emplace_back(since, blocks - before);
        before = blocks;
      }
      if (before > 0) changes.emplace_back(end, -before);
    }
    std::sort(changes.begin(), changes.end());
    int64_t blocks = 0;
    for (const auto& [at, change] : changes) {
      blocks += change;
      report_.peak_blocks = std::max(report_.peak_blocks, blocks);
      if (blocks <= rules_.total_blocks) continue;
      Fault("capacity", absl::StrFormat("at %d ns %d blocks of %d were promised", at, blocks,
                                        rules_.total_blocks));
    }
  }

  // Who came later and was granted first, of each who waited for the server to answer.
  void CheckTurns() {
    if (rules_.most_overtakes == 0) return;
    for (const Turn& wait : waits_) {
      const int64_t overtakes =
          std::count_if(grants_.begin(), grants_.end(), [&](const Turn& grant) {
            return grant.sent > wait.sent && grant.answered < wait.answered;
          });
      report_.most_overtaken = std::max(report_.most_overtaken, overtakes);
      if (overtakes <= rules_.most_overtakes) continue;
      Fault("starved", absl::StrFormat("request %s waited %.3f s, and %d who came later went first",
                                       wait.name, Seconds(wait.answered - wait.sent), overtakes));
    }
  }

  // What of the record a server served, and its slowest whole second.
  void CountSeconds() {
    for (const int64_t start : server_starts_) {
      const auto death = std::upper_bound(server_deaths_.begin(), server_deaths_.end(), start);
      const int64_t end = std::min(death == server_deaths_.end() ? kNever : *death, last_decision_);
      if (end > start) report_.seconds_up += Seconds(end - start);
      for (int64_t second = start / kSecond + 1; second < end / kSecond; ++second) {
        const auto found = decisions_in_.find(second);
        const int64_t decisions = found == decisions_in_.end() ? 0 : found->second;
        const bool slower = report_.slowest_second < 0 || decisions < report_.slowest_second;
        if (slower) report_.slowest_second = decisions;
      }
    }
  }

  void Fault(const std::string& kind, const std::string& what) {
    if (report_.faults.size() < kMostFaults) report_.faults.push_back(kind + ": " + what);
  }
  static double Seconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }

  const HistoryRules rules_;
  HistoryReport report_;
  std::map<CallKey, HistoryEvent> open_;
  std::unordered_map<std::string, Held> held_;
  std::unordered_map<std::string, std::string> granted_to_;  // epoch and request
  std::unordered_map<std::string, int64_t> first_sent_;      // by request
  std::unordered_map<std::string, int64_t> life_began_;      // by epoch
  std::vector<Turn> waits_, grants_;
  std::map<int64_t, int64_t> killed_;
  std::vector<int64_t> server_starts_, server_deaths_;
  std::unordered_map<int64_t, int64_t> decisions_in_;  // by second
  int64_t last_decision_ = 0, renamed_ = 0;
  bool saw_capacity_ = false, last_free_ = true;
  std::string last_capacity_;
};

}  // namespace

HistoryReport CheckHistory(std::vector<HistoryEvent> events, const HistoryRules& rules) {
  std::stable_sort(events.begin(), events.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  return Checker(rules).Check(events);
}

}  // namespace plimsoll
