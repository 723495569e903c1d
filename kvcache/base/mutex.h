// A mutex that both judges of locking understand: clang's thread-safety analysis, by annotation,
// and ThreadSanitizer, because it is a std::mutex. A distribution's absl::Mutex is built without
// the sanitizer, which then sees none of its locking and reports races that are not there.
//
// Wait for a condition with std::condition_variable_any.
//
// Threads: any. Cost: one std::mutex. Errors: none; locking twice from one thread deadlocks.
#pragma once

#include <mutex>

#include "absl/base/thread_annotations.h"

namespace plimsoll {

class ABSL_LOCKABLE Mutex {
 public:
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds the mutex for the life of the object.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  Mutex& mutex_;
};

}  // namespace plimsoll
