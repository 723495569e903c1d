#include "kvcache/pool/zeroed_array.h"

#include <sys/mman.h>

namespace plimsoll {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

void* RoundedUp(void* address, size_t multiple) {
  const auto bits = reinterpret_cast<uintptr_t>(address);
  return static_cast<char*>(address) + (multiple - bits % multiple) % multiple;
}

// A wish: where the system does not grant it, everything works as before.
void AskForHugePages(void* memory, size_t bytes) {
  void* const first = RoundedUp(memory, kHugePage);
  const auto skipped = static_cast<size_t>(static_cast<char*>(first) - static_cast<char*>(memory));
  if (skipped + kHugePage > bytes) return;
  madvise(first, (bytes - skipped) / kHugePage * kHugePage, MADV_HUGEPAGE);
}

}  // namespace

ZeroedMemory AllocateZeroed(size_t bytes) {
  if (bytes > std::numeric_limits<size_t>::max() - kLine) return {};
  void* const whole = std::calloc(bytes + kLine, 1);
  if (whole == nullptr) return {};
  void* const aligned = RoundedUp(whole, kLine);
  AskForHugePages(aligned, bytes);
  return {.whole = whole, .aligned = aligned};
}

}  // namespace plimsoll
