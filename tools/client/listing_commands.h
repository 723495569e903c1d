// plimsoll reservations and tenants: who holds what.
//
// Threads: none. Cost: a call for each page. Errors: one line and an exit code.
#pragma once

#include "tools/command.h"

namespace plimsoll {

void AddListingCommands(CLI::App& app, CommandResult& result);

}  // namespace plimsoll
