// plimsoll drain and revoke: for who runs a server.
//
// Threads: none. Cost: a call each. Errors: one line and an exit code.
#pragma once

#include "tools/command.h"

namespace plimsoll {

void AddOperatorCommands(CLI::App& app, CommandResult& result);

}  // namespace plimsoll
