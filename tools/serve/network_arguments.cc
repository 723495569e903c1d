#include "tools/serve/network_arguments.h"

#include <pwd.h>

#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kMostConnections = 1'000'000;

absl::StatusOr<uid_t> UserFrom(const std::string& text) {
  uint32_t number = 0;
  if (absl::SimpleAtoi(text, &number)) return number;
  std::array<char, 16384> strings;
  passwd entry{};
  passwd* found = nullptr;
  getpwnam_r(text.c_str(), &entry, strings.data(), strings.size(), &found);
  if (found == nullptr) return BadField("--unix-user", Excerpt(text), "a user's name or number");
  return found->pw_uid;
}

}  // namespace

void AddNetworkArguments(CLI::App& command, NetworkText& text) {
  command.add_flag("--insecure", text.insecure,
                   "listen where other machines can reach it, though they can read and change what "
                   "is said");
  command.add_option("--max-connections", text.max_connections, "gRPC connections at once")
      ->capture_default_str();
  command
      .add_option("--unix-user", text.unix_users,
                  "a user who may come over a Unix socket, one or more; default: whom the file's "
                  "mode, 0660, lets in")
      ->allow_extra_args(false);
  command.add_option("--tls-certificate", text.tls.certificate,
                     "speak TLS over TCP, with this certificate and what lies between it and its "
                     "authority (PEM); read again when it changes");
  command.add_option("--tls-key", text.tls.key, "its key, without a passphrase");
  command.add_option("--tls-client-ca", text.tls.client_ca,
                     "take only clients with a certificate of these authorities");
  command.add_option("--tokens", text.tokens,
                     "take only callers with a token of this file: lines NAME:ROLE:TOKEN, ROLE\n"
                     "read, admission or admin; admission@TENANT acts for that tenant alone");
  command.add_option("--log-level", text.log_level, "what standard error hears of")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  command.add_option("--log-format", text.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

absl::Status ReadNetworkArguments(const NetworkText& text, ServerOptions& options) {
  if (text.max_connections < 1 || text.max_connections > kMostConnections) {
    return BadField("--max-connections", text.max_connections,
                    "1 to " + std::to_string(kMostConnections));
  }
  options.tls = text.tls;
  if (!text.tokens.empty()) {
    absl::StatusOr<TokenTable> tokens = TokenTable::ReadFile(text.tokens);
    if (!tokens.ok()) return Annotate(tokens.status(), "--tokens");
    options.tokens = *std::move(tokens);
  }
  options.insecure = text.insecure;
  options.connections.most = text.max_connections;
  for (const std::string& name : text.unix_users) {
    const absl::StatusOr<uid_t> user = UserFrom(name);
    if (!user.ok()) return user.status();
    options.connections.users.push_back(*user);
  }
  return absl::OkStatus();
}

LogOptions LogOptionsFrom(const NetworkText& text) {
  LogOptions options;
  for (const auto& [name, level] :
       {std::pair("debug", LogLevel::kDebug), std::pair("warning", LogLevel::kWarning),
        std::pair("error", LogLevel::kError)}) {
    if (text.log_level == name) options.level = level;
  }
  if (text.log_format == "json") options.format = LogFormat::kJson;
  return options;
}

}  // namespace plimsoll
