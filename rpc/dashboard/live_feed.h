// The page's events: one text for everybody who watches, at most five a second and at least one, so
// that silence means that the server is gone.
//
// Invariants: no more than `most` watch at once; an event is made once, whoever takes it.
//
// Threads: Tick from the housekeeper; the rest from any; Next blocks. Cost: where nobody watches, a
// tick reads one number. Errors: none; a full house is false.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "rpc/housekeeper.h"

namespace plimsoll {

class LiveFeed final : public Housekeeper::Watcher {
 public:
  static constexpr Duration kLeastApart = std::chrono::milliseconds(200);
  static constexpr Duration kMostApart = std::chrono::seconds(1);

  struct Event {
    int64_t number;    // later ones are larger
    std::string id;    // "<epoch>-<revision>" of what it says
    std::string text;  // one line
  };

  // `make` says the pool's state, from any thread, until Close.
  LiveFeed(std::string epoch, int64_t most, std::function<std::string()> make)
      : epoch_(std::move(epoch)), most_(most), make_(std::move(make)) {}

  // Counts one more who watches; false where there are as many as may.
  bool Join() ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave() ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t watching() const ABSL_LOCKS_EXCLUDED(mutex_);
  // How many found a full house.
  int64_t turned_away() const { return turned_away_.load(); }

  // The newest event after this one, as soon as there is one; null after Close.
  std::shared_ptr<const Event> Next(int64_t number) ABSL_LOCKS_EXCLUDED(mutex_);
  // Nobody waits any more, and nothing is made.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  void Tick(const AdmissionSnapshot& now) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const std::string epoch_;
  const int64_t most_;
  const std::function<std::string()> make_;
  std::atomic<int64_t> turned_away_{0};
  mutable absl::Mutex mutex_;
  int64_t watching_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const Event> event_ ABSL_GUARDED_BY(mutex_);
  int64_t revision_ ABSL_GUARDED_BY(mutex_) = -1;
  Instant made_ ABSL_GUARDED_BY(mutex_) = Instant::min();
  // Held while an event is made, so that Close can wait for its end; taken before mutex_.
  absl::Mutex making_;
};

// As Server-Sent Events have it.
std::string EventText(const LiveFeed::Event& event);

}  // namespace plimsoll
