// Who may reach a server, and how many: the arguments of `plimsoll serve` on its network edge.
//
// Threads: a value. Cost: one look at the user database per name. Errors: InvalidArgument naming
// the argument.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/server.h"

namespace plimsoll {

// As typed.
struct NetworkText {
  bool insecure = false;
  int64_t max_connections = 10000;
  std::vector<std::string> unix_users;  // names or numbers
};

void AddNetworkArguments(CLI::App& command, NetworkText& text);

// Sets what they say.
absl::Status ReadNetworkArguments(const NetworkText& text, ServerOptions& options);

}  // namespace plimsoll
