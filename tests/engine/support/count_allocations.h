// How often this thread takes memory from the heap. Only for programs that link
// count_allocations.cc, which replaces operator new.
#pragma once

#include <cstdint>

namespace plimsoll {

// Calls of operator new by this thread since it started.
int64_t AllocationsOfThisThread();

}  // namespace plimsoll
