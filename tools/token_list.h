// Tokens as people give them on a command line.
//
// Threads: pure, but for reading a file. Cost: O(text). Errors: InvalidArgument quoting what is no
// token.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace plimsoll {

// "1,2,3", or "@FILE" for a file of numbers with commas or white space between them. At least one.
absl::StatusOr<std::vector<int32_t>> ParseTokenList(const std::string& text);

// "1,2,3".
std::string FormatTokenList(const std::vector<int32_t>& tokens);

}  // namespace plimsoll
