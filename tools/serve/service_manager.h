// What systemd wants to know of a service, and what it hands over: READY=1, STOPPING=1, WATCHDOG=1
// over the datagram socket in NOTIFY_SOCKET, and listening sockets from descriptor 3 on.
//
// The environment's variables are taken out of it, so that no child of ours uses them.
//
// Threads: Notify from any. Cost: a datagram. Errors: without a service manager everything does
// nothing; a datagram that cannot be sent is lost.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/base/clock.h"
#include "rpc/log.h"

namespace plimsoll {

class ServiceManager {
 public:
  // Before other threads are started.
  static ServiceManager FromEnvironment();

  void Notify(const std::string& state) const;
  // How long it waits for a sign of life; none: it does not.
  std::optional<Duration> watchdog() const { return watchdog_; }
  // Sockets that listen already; the caller closes them.
  const std::vector<int>& listening() const { return listening_; }

 private:
  std::string socket_;  // empty: none
  std::optional<Duration> watchdog_;
  std::vector<int> listening_;
};

// Gives a sign of life as long as `check` succeeds, three times as often as it has to.
class Watchdog {
 public:
  // All outlive it. Does nothing where `manager` wants none.
  Watchdog(const ServiceManager& manager, std::function<absl::Status(Duration limit)> check,
           Log& log);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Run(Duration period) ABSL_LOCKS_EXCLUDED(mutex_);

  const ServiceManager& manager_;
  const std::function<absl::Status(Duration)> check_;
  Log& log_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace plimsoll
