// A server of this program as a process of its own, for measurements over sockets.
//
// Threads: one. It ends with the object, and with this process, however that ends.
// Cost: a process. Errors: Internal with what it said instead of "ready".
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

class ChildServer {
 public:
  // Runs this program with `arguments` and returns once it says that it is ready.
  static absl::StatusOr<std::unique_ptr<ChildServer>> Start(std::vector<std::string> arguments);
  ~ChildServer();
  ChildServer(const ChildServer&) = delete;
  ChildServer& operator=(const ChildServer&) = delete;

  // What it listens on, in the order it was told.
  const std::vector<std::string>& addresses() const { return addresses_; }
  // From its start until it was ready.
  Duration start_time() const { return start_time_; }
  // Of a processor that it has used since its start.
  Duration CpuTime() const;

 private:
  ChildServer() = default;
  absl::Status AwaitReady();

  pid_t pid_ = 0;
  int pipe_ = -1;
  Duration start_time_ = Duration::zero();
  std::vector<std::string> addresses_;
};

}  // namespace plimsoll
