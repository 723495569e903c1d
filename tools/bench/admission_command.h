// `plimsoll bench admission`.
//
// Threads: none. Errors: as CommandResult says.
#pragma once

#include "tools/command.h"

namespace plimsoll {

void AddAdmissionBench(CLI::App& bench, CommandResult& result);

}  // namespace plimsoll
