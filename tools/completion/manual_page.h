// The manual page, plimsoll(1), from what --help says.
//
// Threads: pure. Cost: a string. Errors: none.
#pragma once

#include <string>
#include <vector>

#include "tools/completion/command_tree.h"

namespace plimsoll {

// In roff, for the man macros.
std::string ManualPage(const std::vector<CommandFacts>& commands, const std::string& version);

}  // namespace plimsoll
