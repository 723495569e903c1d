#include "kvcache/pool/zeroed_array.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <limits>

namespace plimsoll {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kPage = 4096;
constexpr size_t kLarge = 128 * 1024;  // from where on malloc too takes memory of the system's

size_t RoundedUp(size_t bytes, size_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

// Where the system puts one mapping beside the other, huge pages reach from array to array.
ZeroedMemory Mapped(size_t bytes) {
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return {};
  // A wish: where the system does not grant it, everything works as before.
  madvise(memory, bytes, MADV_HUGEPAGE);
  return {memory, {.mapped = bytes}};
}

}  // namespace

void ZeroedFree::operator()(void* memory) const {
  if (mapped == 0) return std::free(memory);
  munmap(memory, mapped);
}

ZeroedMemory AllocateZeroed(size_t bytes) {
  if (bytes > std::numeric_limits<size_t>::max() - kPage) return {};
  if (bytes >= kLarge) return Mapped(RoundedUp(bytes, kPage));
  const size_t whole = RoundedUp(bytes + 1, kLine);  // something, even of nothing
  void* const memory = std::aligned_alloc(kLine, whole);
  if (memory != nullptr) std::memset(memory, 0, whole);
  return ZeroedMemory(memory);
}

}  // namespace plimsoll
