// What this process really holds: anonymous and shared memory that is resident, without the pages
// of the program's own files, which nobody plans.
//
// Threads: any. Cost: one walk over the process's pages. Errors: Internal where the system does not
// say.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"

namespace plimsoll {

absl::StatusOr<Bytes> ResidentBytes();

// The same from the text of /proc/self/smaps_rollup: its Pss_Anon and Pss_Shmem.
absl::StatusOr<Bytes> ResidentBytesIn(std::string_view rollup);

}  // namespace plimsoll
