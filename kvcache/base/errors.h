// The failures that come back as a Status, each with what its receiver can do next.
//
//   InvalidArgument     fix the request         "head_dim=0: want a positive integer"
//   NotFound            forget the handle       "no reservation e1-71"
//   FailedPrecondition  change state first      "STALE_EPOCH: ..."
//   ResourceExhausted   ask for less, or wait   "need 40 blocks, 12 of 64 free"
//   Unavailable         try again later         "no server at 127.0.0.1:8470"
//   Unimplemented       use something else      "no decoder for GPT2LMHeadModel"
//   Internal            an outside call failed  "mmap: Cannot allocate memory"
//
// Anything else is a bug here and aborts. Messages carry the numbers that decided and are one line.
//
// Threads: pure functions. Cost: builds a string, so only at the edge; inside, full is nullopt.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "kvcache/base/units.h"

namespace plimsoll {

// "<field>=<value>: want <wanted>".
absl::Status BadField(std::string_view field, std::string_view value, std::string_view wanted);
absl::Status BadField(std::string_view field, int64_t value, std::string_view wanted);

// "need <need> blocks, <free> of <total> free".
absl::Status OutOfBlocks(Blocks need, Blocks free, Blocks total);

// "<call>: <strerror(error_number)>", for a system call that failed.
absl::Status SystemError(std::string_view call, int error_number);

// Text from outside, fit for a message of one line: control characters become '?', and what is
// longer than 60 bytes is cut short.
std::string Excerpt(std::string_view text);

// The same code with "<context>: " before the message; OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

}  // namespace plimsoll
