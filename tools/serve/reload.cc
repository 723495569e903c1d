#include "tools/serve/reload.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace plimsoll {
namespace {

// Tokens themselves may change; whether there are any may not.
bool ChangesLive(const std::string& name, bool has_tokens) {
  static constexpr std::array<std::string_view, 6> kLive = {"class",  "log_level", "overflow_goal",
                                                            "policy", "quota",     "watermark"};
  if (name == "tokens") return has_tokens;
  return std::find(kLive.begin(), kLive.end(), name) != kLive.end();
}

}  // namespace

Reloader::Reloader(std::vector<Setting> running, Source source, Server& server,
                   SharedAdmission& admission, Log& log)
    : running_(std::move(running)),
      source_(std::move(source)),
      server_(server),
      admission_(admission),
      log_(log) {}

void Reloader::Reload() {
  const absl::Status taken = Take();
  if (taken.ok()) return;
  log_.Write(LogLevel::kError, "config_kept", {{"why", std::string(taken.message())}});
}

absl::Status Reloader::Reconfigure(const AdmissionOptions& wanted) {
  return admission_.With([&](AdmissionController& admission) {
    return admission.Reconfigure(wanted.quotas, wanted.policy, wanted.classes);
  });
}

absl::Status Reloader::Take() {
  const absl::StatusOr<Configured> configured = source_();
  if (!configured.ok()) return configured.status();
  const absl::StatusOr<ServeArguments> arguments = ReadServeArguments(configured->text);
  if (!arguments.ok()) return arguments.status();
  absl::StatusOr<ReadCertificates> certificates = server_.ReadNewCertificates();
  if (!certificates.ok()) return certificates.status();
  // The last that may refuse: it does so before it changes anything.
  PLIMSOLL_RETURN_IF_ERROR(Reconfigure(arguments->engine.admission));
  server_.TakeCertificates(*std::move(certificates));
  const bool has_tokens =
      arguments->server.tokens && server_.SetTokens(*arguments->server.tokens).ok();
  log_.SetLevel(arguments->log.level);
  Tell(configured->effective, has_tokens);
  NoteRunning(configured->effective, has_tokens);
  return absl::OkStatus();
}

void Reloader::Tell(const std::vector<Setting>& effective, bool has_tokens) const {
  std::vector<LogField> fields;
  std::string restart;
  for (const auto& [name, change] : ChangesBetween(running_, effective)) {
    fields.push_back({name, change});
    if (!ChangesLive(name, has_tokens)) restart += (restart.empty() ? "" : ",") + name;
  }
  if (!restart.empty()) fields.push_back({"needs_restart", restart});
  log_.Write(restart.empty() ? LogLevel::kInfo : LogLevel::kWarning, "config_reloaded", fields);
}

// What wants a restart runs as it was started.
void Reloader::NoteRunning(const std::vector<Setting>& effective, bool has_tokens) {
  const auto live = [&](const Setting& its) { return ChangesLive(its.name, has_tokens); };
  std::erase_if(running_, live);
  std::copy_if(effective.begin(), effective.end(), std::back_inserter(running_), live);
}

}  // namespace plimsoll
