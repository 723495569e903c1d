#include "tools/serve/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "rpc/descriptor.h"

namespace plimsoll {
namespace {

constexpr int kFirstListening = 3;
constexpr int kMostListening = 64;

std::string TakeVariable(const char* name) {
  const char* const text = std::getenv(name);
  std::string value = text == nullptr ? "" : text;
  unsetenv(name);
  return value;
}

int64_t NumberIn(const std::string& text) {
  int64_t number = 0;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

bool MeansUs(const std::string& pid) { return pid.empty() || NumberIn(pid) == getpid(); }

}  // namespace

ServiceManager ServiceManager::FromEnvironment() {
  ServiceManager manager;
  manager.socket_ = TakeVariable("NOTIFY_SOCKET");
  const int64_t watchdog_us = NumberIn(TakeVariable("WATCHDOG_USEC"));
  if (MeansUs(TakeVariable("WATCHDOG_PID")) && watchdog_us > 0) {
    manager.watchdog_ = std::chrono::microseconds(watchdog_us);
  }
  const std::string pid = TakeVariable("LISTEN_PID");
  const int64_t count = NumberIn(TakeVariable("LISTEN_FDS"));
  TakeVariable("LISTEN_FDNAMES");
  if (pid.empty() || !MeansUs(pid)) return manager;
  for (int i = 0; i < std::min<int64_t>(count, kMostListening); ++i) {
    manager.listening_.push_back(kFirstListening + i);
  }
  return manager;
}

void ServiceManager::Notify(const std::string& state) const {
  sockaddr_un name{};
  if (socket_.empty() || socket_.size() >= sizeof(name.sun_path)) return;
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, socket_.data(), socket_.size());
  if (name.sun_path[0] == '@') name.sun_path[0] = '\0';  // not in the file system
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const Descriptor fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
         reinterpret_cast<const sockaddr*>(&name), size);
}

Watchdog::Watchdog(const ServiceManager& manager, std::function<absl::Status(Duration limit)> check,
                   Log& log)
    : manager_(manager), check_(std::move(check)), log_(log) {
  constexpr int kTimesAsOften = 3;
  if (!manager.watchdog()) return;
  thread_ = std::thread([this, period = *manager.watchdog() / kTimesAsOften] { Run(period); });
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void Watchdog::Run(Duration period) {
  const auto stopping = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_; };
  for (;;) {
    const absl::Status answered = check_(period);
    if (answered.ok()) {
      manager_.Notify("WATCHDOG=1");
    } else {
      log_.Write(LogLevel::kError, "self_check_failed", {{"why", answered.ToString()}});
    }
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping), absl::FromChrono(period))) return;
  }
}

}  // namespace plimsoll
