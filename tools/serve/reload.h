// SIGHUP: reads the configuration again and takes what can change while serving.
//
// Tokens, certificates, the level of the log, quotas and policies change at once (what is held
// stays as it was let in, see AdmissionController::Reconfigure); anything else that differs is
// named as wanting a restart. All is read and checked before anything is taken: where a part cannot
// be read, makes no sense, or asks what the pool cannot do, nothing changes.
//
// Threads: one. Cost: that of a start's arguments. Errors: in the log.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/admission/shared_admission.h"
#include "rpc/log.h"
#include "rpc/server.h"
#include "tools/serve/configuration.h"

namespace plimsoll {

class Reloader {
 public:
  using Source = std::function<absl::StatusOr<Configured>()>;

  // `server`, `admission` and `log` outlive it; `running` are the settings that they were started
  // with; it keeps those that run.
  Reloader(std::vector<Setting> running, Source source, Server& server, SharedAdmission& admission,
           Log& log);
  void Reload();

 private:
  absl::Status Take();
  absl::Status Reconfigure(const AdmissionOptions& wanted);
  void Tell(const std::vector<Setting>& effective, bool has_tokens) const;
  void NoteRunning(const std::vector<Setting>& effective, bool has_tokens);

  std::vector<Setting> running_;
  const Source source_;
  Server& server_;
  SharedAdmission& admission_;
  Log& log_;
};

}  // namespace plimsoll
