// Calls those who watch the capacity, each when it asked to be called, and keeps apart what they
// send.
//
// What a thousand send at once comes in one burst, at their readers too, and whoever asks for room
// meanwhile waits for it. So between two messages there is a gap: as long as it can be where each
// of them may send once in its interval, and never longer than kMostGap. Whoever watches alone
// hears at once. It is a thread of its own, because the housekeeper's has answers to send.
//
// Threads: Watch and Unwatch from any; watchers are called one after another on its thread and must
// not block. One may still be called once while Unwatch runs.
// Cost: O(log n) for each call, of n who watch; the thread wakes up once in a tick for one of them,
// once in a beat for many, and sleeps while nobody watches. Errors: none.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "kvcache/base/mutex.h"
#include "rpc/housekeeper.h"

namespace plimsoll {

class WatchQueue {
 public:
  // How long after it came each is called first, and how often who waits for a change should ask to
  // be called.
  static constexpr Duration kTick = Housekeeper::kTick;
  // How long who has nothing to hear yet may ask to be left alone: longer, and one whose clock is
  // not the queue's would wait; much shorter, and to look at a thousand costs more than to tell
  // them.
  static constexpr Duration kLongestRest = std::chrono::milliseconds(100);
  static constexpr Duration kMostGap = std::chrono::microseconds(200);

  struct Called {
    bool sent = false;                             // a message; then a gap follows
    Duration again = std::chrono::nanoseconds(0);  // how much later to call again
  };
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual Called Call(const AdmissionSnapshot& now) = 0;
  };

  // `published` outlives it.
  explicit WatchQueue(const SnapshotPublisher& published);
  ~WatchQueue();

  // `watcher` sends at most one message in `interval`.
  void Watch(std::shared_ptr<Watcher> watcher, Duration interval) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unwatch(const Watcher* watcher) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Place {
    std::shared_ptr<Watcher> watcher;
    double per_second = 0;  // messages, at most
    Instant due;
  };

  void Run();
  void CallDue();
  // False when it is time to stop.
  bool AwaitWatchers() ABSL_LOCKS_EXCLUDED(mutex_);
  bool Rest() ABSL_LOCKS_EXCLUDED(mutex_);
  // Out of the queue, until it is put back; null where nobody's time has come.
  std::shared_ptr<Watcher> TakeDue(Instant at) ABSL_LOCKS_EXCLUDED(mutex_);
  void PutBack(const Watcher* watcher, Instant due) ABSL_LOCKS_EXCLUDED(mutex_);
  Duration Gap() ABSL_LOCKS_EXCLUDED(mutex_);

  const SnapshotPublisher& published_;
  Instant clear_;  // when the next message may be sent; the thread's own
  Mutex mutex_;
  std::condition_variable_any wake_;  // the first who watches came, or the end
  std::map<const Watcher*, Place> places_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<Instant, const Watcher*>> queue_ ABSL_GUARDED_BY(mutex_);
  double per_second_ ABSL_GUARDED_BY(mutex_) = 0;  // of all places
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace plimsoll
