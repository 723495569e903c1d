#include "tools/serve/stop_signals.h"

#include <cerrno>
#include <ctime>

namespace plimsoll {

StopSignals::StopSignals() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGTERM);
  sigaddset(&set_, SIGINT);
  sigaddset(&set_, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
}

int StopSignals::Wait() const {
  int signal = 0;
  while (sigwait(&set_, &signal) != 0) {
  }
  return signal;
}

bool StopSignals::WaitFor(Duration limit) const {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(limit);
  const timespec until = {.tv_sec = seconds.count(), .tv_nsec = (limit - seconds).count()};
  const int signal = sigtimedwait(&set_, nullptr, &until);
  return signal >= 0 && signal != SIGHUP;
}

}  // namespace plimsoll
