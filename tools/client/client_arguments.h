// What every command takes that talks to a server, and how it prints.
//
// Threads: none. Cost: none. Errors: as WriteOutput.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "rpc/client.h"
#include "tools/command.h"

namespace plimsoll {

inline constexpr int kRefused = 3;  // exit code

struct ClientArguments {
  std::string server = ClientOptions().server;
  std::string format = "text";
  std::string output;
  ClientSecurity security;

  ClientOptions options() const { return {.server = server, .security = security}; }
  bool json() const { return format == "json"; }
};

// --server, which the environment's PLIMSOLL_ADDR stands in for, --format, -o, and how it proves
// itself and knows its server.
void AddClientArguments(CLI::App& command, ClientArguments& arguments);

// Prints, and returns the exit code.
int Print(const std::string& text, const ClientArguments& arguments, int exit_code);

}  // namespace plimsoll
