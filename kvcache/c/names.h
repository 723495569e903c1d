// What both C interfaces say about themselves. Never null.
//
// Threads: any. Cost: O(1). Errors: "" for a number that means nothing.
#pragma once

#include <cstdint>

namespace plimsoll::c_interface {

uint32_t Version();
const char* CodeName(int32_t code);
const char* ReasonName(int32_t reason);

}  // namespace plimsoll::c_interface
