// Sizes as people write and read them.
//
// KiB, MiB, GiB and TiB are powers of 1024; KB, MB, GB and TB are powers of 1000; a bare number is
// bytes. No float holds a size on the way.
//
// Threads: pure functions. Cost: O(text). Errors: InvalidArgument quoting the text.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"

namespace plimsoll {

// The largest size that anything outside may name: 2^60 bytes. A few of them still add up within
// 64 bits.
inline constexpr Bytes kMaxBytes = Bytes(int64_t{1} << 60);

// Reads "80GiB", "80 GB", "1.5TiB" (at most six decimals; rounded down) or "85899345920".
// `what` names the value in messages.
absl::StatusOr<Bytes> ParseSize(std::string_view text, std::string_view what);

// "512 B", "10 MiB", "14.96 GiB": the largest unit that leaves a whole part, two decimals unless
// it is exact.
std::string FormatSize(Bytes size);

}  // namespace plimsoll
