// Counts as people read them: 8030261248 as "8,030,261,248".
//
// Threads: pure. Cost: builds a string. Errors: none; `n` is not negative.
#pragma once

#include <cstdint>
#include <string>

namespace plimsoll {

std::string Grouped(int64_t n);

}  // namespace plimsoll
