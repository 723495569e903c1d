// JSON text to a value, strictly: for files that come from outside.
//
// Refuses what a lenient reader would let pass: a key that an object has twice, objects and arrays
// nested deeper than 64, anything after the value, comments, text over 64 MiB. A bare Infinity,
// -Infinity or NaN, which published configurations contain, is read as the string of that name: a
// reader that needs a number there refuses it, a reader that does not need the field never looks.
// An integer beyond 64 bits becomes a floating-point value, so that a reader of counts refuses it.
//
// Threads: pure. Cost: O(text). Errors: InvalidArgument with line and column, or the key.
//
// This header shows nlohmann::json, so it is private to the library and not installed.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace plimsoll {

inline constexpr int kMaxJsonDepth = 64;
inline constexpr int64_t kMaxJsonBytes = int64_t{64} << 20;

absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text);

}  // namespace plimsoll
