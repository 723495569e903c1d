// Completion files: commands, options, and the values of options that have a list; where a value is
// anything else, the shell's own completion of file names.
//
// Threads: pure functions. Cost: a string. Errors: none.
#pragma once

#include <string>
#include <vector>

#include "tools/completion/command_tree.h"

namespace plimsoll {

std::string BashCompletion(const std::vector<CommandFacts>& commands);
std::string ZshCompletion(const std::vector<CommandFacts>& commands);
std::string FishCompletion(const std::vector<CommandFacts>& commands);

}  // namespace plimsoll
