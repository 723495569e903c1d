// Calls those who watch the capacity, each once in a round, a few at a time.
//
// What a thousand send at once comes in one burst, at their readers too, and whoever asks for room
// meanwhile waits for it. So a round's calls are spread over it: between one group and the next the
// thread rests. It is a thread of its own, because the housekeeper's has answers to send.
//
// Threads: Watch and Unwatch from any; watchers are called one after another on its thread and must
// not block. One may still be called once while Unwatch runs.
// Cost: a thread, which wakes up to forty times in a round while somebody watches, and sleeps while
// nobody does. Errors: none.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "kvcache/base/mutex.h"
#include "rpc/housekeeper.h"

namespace plimsoll {

class WatchRounds {
 public:
  static constexpr Duration kRound = Housekeeper::kTick;  // and the time of its calls
  using Watcher = Housekeeper::Watcher;

  // `published` outlives it.
  explicit WatchRounds(const SnapshotPublisher& published);
  ~WatchRounds();

  void Watch(std::shared_ptr<Watcher> watcher) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unwatch(const Watcher* watcher) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Round = std::vector<std::weak_ptr<Watcher>>;

  void Run();
  // Who watches, once somebody does; nobody when it is time to stop.
  Round Next() ABSL_LOCKS_EXCLUDED(mutex_);
  // False when it is time to stop.
  bool Rest(Duration time) ABSL_LOCKS_EXCLUDED(mutex_);

  const SnapshotPublisher& published_;
  Mutex mutex_;
  std::condition_variable_any wake_;  // the first who watches came, or the end
  std::map<const Watcher*, std::shared_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace plimsoll
