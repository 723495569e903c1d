#include "rpc/watch_queue.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>

namespace plimsoll {
namespace {

using std::chrono::steady_clock;

constexpr Duration kBeat =
    std::chrono::microseconds(500);  // between two looks at the queue, at least
// How much of a delay may be made up for at once: what comes in a burst is waited for.
constexpr Duration kMostBehind = std::chrono::milliseconds(2);
// More than all may send, so that nobody falls behind.
constexpr double kSpare = 1.25;

double PerSecond(Duration interval) {
  return 1 / std::chrono::duration<double>(std::max(interval, WatchQueue::kTick)).count();
}

// Whoever waits for an answer goes first: this thread takes the processor from nobody when it
// wakes.
void GiveWayToOthers() {
  const sched_param none{};
  pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);  // where it may not, it goes as others
}

}  // namespace

WatchQueue::WatchQueue(const SnapshotPublisher& published)
    : published_(published), thread_([this] { Run(); }) {}

WatchQueue::~WatchQueue() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void WatchQueue::Watch(std::shared_ptr<Watcher> watcher, Duration interval) {
  {
    MutexLock lock(mutex_);
    const Watcher* const key = watcher.get();
    const Place place{std::move(watcher), PerSecond(interval), steady_clock::now() + kTick};
    if (!places_.emplace(key, place).second) return;
    queue_.emplace(place.due, key);
    per_second_ += place.per_second;
    if (places_.size() > 1) return;
  }
  wake_.notify_one();
}

void WatchQueue::Unwatch(const Watcher* watcher) {
  MutexLock lock(mutex_);
  const auto place = places_.find(watcher);
  if (place == places_.end()) return;
  queue_.erase({place->second.due, watcher});
  per_second_ -= place->second.per_second;
  places_.erase(place);
}

void WatchQueue::Run() {
  GiveWayToOthers();
  while (AwaitWatchers()) {
    CallDue();
    if (!Rest()) return;
  }
}

void WatchQueue::CallDue() {
  const AdmissionSnapshot now = published_.Read();
  for (Instant at = steady_clock::now(); at >= clear_; at = steady_clock::now()) {
    const std::shared_ptr<Watcher> watcher = TakeDue(at);
    if (watcher == nullptr) return;
    const Called called = watcher->Call(now);
    if (called.sent) clear_ = std::max(clear_, at - kMostBehind) + Gap();
    PutBack(watcher.get(), steady_clock::now() + called.again);
  }
}

bool WatchQueue::AwaitWatchers() {
  MutexLock lock(mutex_);
  while (places_.empty() && !stopping_) wake_.wait(mutex_);
  return !stopping_;
}

// In real time, so that a test may move the watchers' time alone, by the clock that never jumps.
// For no longer than a tick, in which whoever comes meanwhile is to be called.
bool WatchQueue::Rest() {
  MutexLock lock(mutex_);
  const Instant now = steady_clock::now();
  const Instant first = queue_.empty() ? now : queue_.begin()->first;
  const Instant end = std::clamp(first, now + kBeat, now + kTick);
  while (!stopping_ && steady_clock::now() < end) wake_.wait_until(mutex_, end);
  return !stopping_;
}

std::shared_ptr<WatchQueue::Watcher> WatchQueue::TakeDue(Instant at) {
  MutexLock lock(mutex_);
  if (queue_.empty() || queue_.begin()->first > at) return nullptr;
  const Watcher* const first = queue_.begin()->second;
  queue_.erase(queue_.begin());
  return places_.find(first)->second.watcher;
}

void WatchQueue::PutBack(const Watcher* watcher, Instant due) {
  MutexLock lock(mutex_);
  const auto place = places_.find(watcher);
  if (place == places_.end()) return;  // it left meanwhile
  place->second.due = due;
  queue_.emplace(due, watcher);
}

Duration WatchQueue::Gap() {
  MutexLock lock(mutex_);
  const double all = per_second_ * kSpare;
  const Duration least(all > 0 ? static_cast<int64_t>(1e9 / all) : kMostGap.count());
  return std::min(kMostGap, least);
}

}  // namespace plimsoll
