#include "kvcache/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace plimsoll {

void CheckFailed(const char* file, int line, const char* condition, const std::string& values) {
  std::fprintf(stderr, "%s:%d: check failed: %s%s%s%s\n", file, line, condition,
               values.empty() ? "" : " [", values.empty() ? "" : values.c_str() + 1,
               values.empty() ? "" : "]");
  std::abort();
}

}  // namespace plimsoll
