#include "engine/weights/slab.h"

#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace plimsoll {

absl::StatusOr<Slab> Slab::Create(Bytes bytes) {
  Slab slab;
  if (bytes == Bytes(0)) return slab;
  const size_t length = static_cast<size_t>(bytes.value());
  void* const data =
      mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError("no memory for " + std::to_string(bytes.value()) +
                                        " bytes: " + std::generic_category().message(errno));
  }
  madvise(data, length, MADV_HUGEPAGE);  // a wish: without it everything works, slower
  slab.data_ = static_cast<std::byte*>(data);
  slab.bytes_ = bytes;
  return slab;
}

Slab::~Slab() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_.value()));
}

}  // namespace plimsoll
