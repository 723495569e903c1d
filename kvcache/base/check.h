// Invariants, checked in every build.
//
// PLIMSOLL_CHECK(condition, values...) aborts with the condition, the place and the values when
// the condition is false. It is for what can only be false if the program is wrong; an expected
// failure is a std::optional or an absl::Status. PLIMSOLL_RETURN_IF_ERROR passes on a bad Status.
// These are the project's only macros.
//
// Threads: any. Cost: one branch.
#pragma once

#include <sstream>
#include <string>

#include "absl/status/status.h"

namespace plimsoll {

// Prints "<file>:<line>: check failed: <condition> [<values>]" on standard error and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& values);

namespace check_internal {

template <class... Values>
std::string Join(const Values&... values) {
  std::ostringstream out;
  ((out << ' ' << values), ...);
  return out.str();
}

}  // namespace check_internal
}  // namespace plimsoll

#define PLIMSOLL_CHECK(condition, ...)                                   \
  ((condition) ? static_cast<void>(0)                                    \
               : ::plimsoll::CheckFailed(__FILE__, __LINE__, #condition, \
                                         ::plimsoll::check_internal::Join(__VA_ARGS__)))

#define PLIMSOLL_RETURN_IF_ERROR(expression)                                    \
  do {                                                                          \
    if (::absl::Status plimsoll_status_ = (expression); !plimsoll_status_.ok()) \
      return plimsoll_status_;                                                  \
  } while (false)
