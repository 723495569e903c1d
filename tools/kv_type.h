// What `--kv` says of an engine's cache: how K and V are stored.
//
// Threads: pure. Cost: none. Errors: InvalidArgument naming `name` and the types there are.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"

namespace plimsoll {

inline constexpr char kKvTypes[] = "fp32, fp16, bf16, fp8, int8 or int4";

// None for an empty text.
absl::StatusOr<std::optional<ElementType>> ReadKvType(const std::string& text, const char* name);

}  // namespace plimsoll
