// SIGHUP: reads the configuration again and takes what can change while serving.
//
// Tokens, certificates and the level of the log change at once; anything else that differs is named
// as wanting a restart. What cannot be read, or makes no sense, changes nothing.
//
// Threads: one. Cost: that of a start's arguments. Errors: in the log.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/log.h"
#include "rpc/server.h"
#include "tools/serve/configuration.h"

namespace plimsoll {

class Reloader {
 public:
  using Source = std::function<absl::StatusOr<Configured>()>;

  // `server` and `log` outlive it; `running` are the settings that they were started with.
  Reloader(std::vector<Setting> running, Source source, Server& server, Log& log);
  void Reload();

 private:
  absl::Status Take();

  std::vector<Setting> running_;
  const Source source_;
  Server& server_;
  Log& log_;
};

}  // namespace plimsoll
