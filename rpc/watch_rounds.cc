#include "rpc/watch_rounds.h"

#include <algorithm>
#include <span>
#include <utility>

namespace plimsoll {
namespace {

constexpr size_t kMostGroups = 40;  // of a round
constexpr size_t kLeastGroup = 8;   // watchers

void Call(std::span<const std::weak_ptr<WatchRounds::Watcher>> group,
          const AdmissionSnapshot& now) {
  for (const auto& each : group) {
    if (const std::shared_ptr<WatchRounds::Watcher> watcher = each.lock()) watcher->Tick(now);
  }
}

}  // namespace

WatchRounds::WatchRounds(const SnapshotPublisher& published)
    : published_(published), thread_([this] { Run(); }) {}

WatchRounds::~WatchRounds() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void WatchRounds::Watch(std::shared_ptr<Watcher> watcher) {
  {
    MutexLock lock(mutex_);
    const Watcher* const key = watcher.get();
    watchers_.emplace(key, std::move(watcher));
    if (watchers_.size() > 1) return;
  }
  wake_.notify_one();
}

void WatchRounds::Unwatch(const Watcher* watcher) {
  MutexLock lock(mutex_);
  watchers_.erase(watcher);
}

void WatchRounds::Run() {
  for (Round round = Next(); !round.empty(); round = Next()) {
    const size_t group = std::max(kLeastGroup, (round.size() + kMostGroups - 1) / kMostGroups);
    const auto groups = static_cast<int64_t>((round.size() + group - 1) / group);
    std::span<const std::weak_ptr<Watcher>> rest(round);
    while (!rest.empty()) {
      const auto now = rest.first(std::min(group, rest.size()));
      Call(now, published_.Read());
      rest = rest.subspan(now.size());
      if (!Rest(kRound / groups)) return;
    }
  }
}

WatchRounds::Round WatchRounds::Next() {
  MutexLock lock(mutex_);
  while (watchers_.empty() && !stopping_) wake_.wait(mutex_);
  Round round;
  if (stopping_) return round;
  round.reserve(watchers_.size());
  for (const auto& [key, watcher] : watchers_) round.push_back(watcher);
  return round;
}

// In real time, so that a test may move the watchers' time alone, by the clock that never jumps.
bool WatchRounds::Rest(Duration time) {
  const auto end = std::chrono::steady_clock::now() + time;
  MutexLock lock(mutex_);
  while (!stopping_ && std::chrono::steady_clock::now() < end) wake_.wait_until(mutex_, end);
  return !stopping_;
}

}  // namespace plimsoll
