#include "tools/serve/reload.h"

#include <string>
#include <utility>

namespace plimsoll {
namespace {

// Tokens themselves may change; whether there are any may not.
bool ChangesLive(const std::string& name, bool has_tokens) {
  return name == "log_level" || (name == "tokens" && has_tokens);
}

}  // namespace

Reloader::Reloader(std::vector<Setting> running, Source source, Server& server, Log& log)
    : running_(std::move(running)), source_(std::move(source)), server_(server), log_(log) {}

void Reloader::Reload() {
  const absl::Status taken = Take();
  if (taken.ok()) return;
  log_.Write(LogLevel::kError, "config_kept", {{"why", std::string(taken.message())}});
}

absl::Status Reloader::Take() {
  const absl::StatusOr<Configured> configured = source_();
  if (!configured.ok()) return configured.status();
  const absl::StatusOr<ServeArguments> arguments = ReadServeArguments(configured->text);
  if (!arguments.ok()) return arguments.status();
  PLIMSOLL_RETURN_IF_ERROR(server_.ReloadCertificates());
  const bool has_tokens =
      arguments->server.tokens && server_.SetTokens(*arguments->server.tokens).ok();
  log_.SetLevel(arguments->log.level);
  std::vector<LogField> fields;
  std::string restart;
  for (const auto& [name, change] : ChangesBetween(running_, configured->effective)) {
    fields.push_back({name, change});
    if (!ChangesLive(name, has_tokens)) restart += (restart.empty() ? "" : ",") + name;
  }
  if (!restart.empty()) fields.push_back({"needs_restart", restart});
  log_.Write(restart.empty() ? LogLevel::kInfo : LogLevel::kWarning, "config_reloaded", fields);
  return absl::OkStatus();
}

}  // namespace plimsoll
