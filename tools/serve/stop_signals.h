// SIGTERM and SIGINT, which stop, and SIGHUP, which reloads, as something to wait for.
//
// Make one before any thread is started: threads inherit the mask, so that the signals reach only
// those who wait here.
//
// Threads: one waits. Cost: none. Errors: none.
#pragma once

#include <csignal>

#include "kvcache/base/clock.h"

namespace plimsoll {

class StopSignals {
 public:
  StopSignals();
  // The signal that came.
  int Wait() const;
  // Whether one that stops came within `limit`.
  bool WaitFor(Duration limit) const;

 private:
  sigset_t set_;
};

}  // namespace plimsoll
