// Where C calls us: statuses become codes and lines, structures come in and go out by their size,
// and nothing is thrown further.
//
// Threads: pure. Cost: of a failure, its text. Errors: InvalidArgument naming the argument.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/base/errors.h"
#include "kvcache/c/plimsoll_base.h"

namespace plimsoll::c_interface {

// No structure of ours will ever be larger; what says it is has never been set.
inline constexpr size_t kLargestStruct = 4096;
// A text that is longer than this has lost its zero byte.
inline constexpr size_t kLongestText = 64 << 20;

inline absl::Status NullArgument(std::string_view name) {
  return BadField(name, "null", "a pointer");
}

// Writes as much as there is room for, always with a zero byte. False where it is not all.
bool WriteText(std::string_view text, plimsoll_text* to);

// The code, after its line went to `error`.
plimsoll_code Report(const absl::Status& status, plimsoll_text* error);

// Runs `body`, which returns a Status, for a caller that knows no exceptions.
template <class Body>
plimsoll_code Call(plimsoll_text* error, const Body& body) {
  try {
    return Report(body(), error);
  } catch (const std::bad_alloc&) {
    return Report(absl::ResourceExhaustedError("no memory"), error);
  } catch (const std::exception& thrown) {
    return Report(absl::InternalError(thrown.what()), error);
  }
}

absl::Status CheckSize(std::string_view name, size_t size);

// What the caller's structure says; what its version does not have is zero. InvalidArgument where
// it has set what ours does not have.
template <class Struct>
absl::StatusOr<Struct> In(std::string_view name, const Struct* from) {
  if (from == nullptr) return NullArgument(name);
  const size_t size = from->struct_size;
  PLIMSOLL_RETURN_IF_ERROR(CheckSize(name, size));
  Struct to{};
  std::memcpy(&to, from, std::min(size, sizeof(Struct)));
  const auto* const bytes = reinterpret_cast<const char*>(from);
  for (size_t i = sizeof(Struct); i < size; ++i) {
    if (bytes[i] != 0) {
      return absl::InvalidArgumentError(std::string(name) + ": has members of a newer version set");
    }
  }
  return to;
}

// Before anything is done: whether an answer can be given there.
template <class Struct>
absl::Status CheckOut(std::string_view name, const Struct* to) {
  return to == nullptr ? NullArgument(name) : CheckSize(name, to->struct_size);
}

// The structure of an array that is `index` after its first.
template <class Struct>
Struct* ElementOf(Struct* first, size_t index) {
  using Byte = std::conditional_t<std::is_const_v<Struct>, const char, char>;
  return reinterpret_cast<Struct*>(reinterpret_cast<Byte*>(first) + index * first->struct_size);
}

// Whether `count` structures lie there, one behind the other and of one size.
template <class Struct>
absl::Status CheckArray(std::string_view name, const Struct* first, size_t count) {
  PLIMSOLL_RETURN_IF_ERROR(CheckOut(name, first));
  const size_t size = first->struct_size;
  if (size % alignof(Struct) != 0) {
    return BadField(std::string(name) + ".struct_size", std::to_string(size),
                    "sizeof the structure");
  }
  for (size_t i = 1; i < count; ++i) {
    const size_t its = ElementOf(first, i)->struct_size;
    if (its != size) {
      return BadField(std::string(name) + "[" + std::to_string(i) + "].struct_size",
                      std::to_string(its), "that of the first, " + std::to_string(size));
    }
  }
  return absl::OkStatus();
}

// Gives the caller as much as its version has; what ours does not have stays as it was.
template <class Struct>
void Out(Struct value, Struct* to) {
  value.struct_size = to->struct_size;
  std::memcpy(to, &value, std::min(to->struct_size, sizeof(Struct)));
}

// The caller's text; empty for null.
inline std::string TextOf(const char* text) {
  return text == nullptr ? std::string() : std::string(text, strnlen(text, kLongestText));
}

template <size_t kSize>
void CopyText(std::string_view text, char (&to)[kSize]) {
  const size_t length = std::min(text.size(), kSize - 1);
  text.copy(to, length);
  to[length] = '\0';
}

}  // namespace plimsoll::c_interface
