// A text that is made anew only when it is older than it may be, so that a crowd of readers costs
// what one does.
//
// Threads: any; who comes while it is made waits for it. Cost: a copy. Errors: none.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

class CachedText {
 public:
  CachedText(Duration oldest, std::function<std::string()> make)
      : oldest_(oldest), make_(std::move(make)) {}

  std::string Get() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const Instant now = std::chrono::steady_clock::now();
    if (text_.empty() || now - made_ > oldest_) {
      text_ = make_();
      made_ = now;
    }
    return text_;
  }

 private:
  const Duration oldest_;
  const std::function<std::string()> make_;
  absl::Mutex mutex_;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  Instant made_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace plimsoll
