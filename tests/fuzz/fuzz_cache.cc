// Any order of calls that a cache allows, chosen by bytes: nothing may be lost, and nothing may
// abort.
#include <cstddef>
#include <cstdint>

#include "kvcache/base/check.h"
#include "tests/kvcache/pool/cache_driver.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  if (size == 0) return 0;
  const auto eviction = static_cast<Eviction>(1 + data[0] % 3);
  size_t at = 1;
  CacheDriver driver(eviction,
                     [&](int64_t most) { return at < size ? data[at++] % (most + 1) : 0; });
  while (at < size) {
    driver.Step();
    const auto wrong = driver.FindViolation();
    PLIMSOLL_CHECK(!wrong.has_value(), *wrong);
  }
  return 0;
}
