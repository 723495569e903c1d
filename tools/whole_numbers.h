// Whole numbers on a command line or in a setting, checked before CLI11 reads them: it takes one
// that is too large for the largest there is, "-1" for the largest without a sign, and "010" for 8.
//
// Threads: one. Cost: a look at each option. Errors: CLI11's own, in one line naming the option.
#pragma once

#include <CLI/CLI.hpp>

namespace plimsoll {

// Of all options of `app` and of its subcommands; call it when they are all there.
void CheckWholeNumbers(CLI::App& app);

}  // namespace plimsoll
