// Who may reach a server, and how many: the arguments of `plimsoll serve` on its network edge.
//
// Threads: a value. Cost: one look at the user database per name, one file. Errors: InvalidArgument
// naming the argument.
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
  TlsFiles tls;
  std::string tokens;  // a file
  std::string log_level = "info";
  std::string log_format = "text";
};

void AddNetworkArguments(CLI::App& command, NetworkText& text);

// Sets what they say; reads the file of tokens.
absl::Status ReadNetworkArguments(const NetworkText& text, ServerOptions& options);
LogOptions LogOptionsFrom(const NetworkText& text);

}  // namespace plimsoll
