#include "tools/serve/network_arguments.h"

#include <pwd.h>

#include <array>

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
}

absl::Status ReadNetworkArguments(const NetworkText& text, ServerOptions& options) {
  if (text.max_connections < 1 || text.max_connections > kMostConnections) {
    return BadField("--max-connections", text.max_connections,
                    "1 to " + std::to_string(kMostConnections));
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

}  // namespace plimsoll
