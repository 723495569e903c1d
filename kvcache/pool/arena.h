// Memory for a pool: one stretch of addresses, backed chunk by chunk.
//
// An arena reserves addresses for the largest pool it may ever hold, so that pointers stay valid
// for its life, and commits and gives back physical memory in equal chunks. Every kind of memory
// (host here, CUDA in engine/device) passes the same conformance suite, tests/kvcache/pool.
//
// Invariants: committed_bytes() is chunk_bytes() times the chunks committed; memory of a committed
// chunk is readable and writable by the arena's device, of any other chunk by nobody.
//
// Threads: none; the owner serialises calls. Reading and writing committed memory needs no call.
// Errors: ResourceExhausted when the system has no memory; Internal when a call fails otherwise;
// FailedPrecondition for a chunk in the wrong state; Unimplemented where the kind cannot do it.
// A failed call changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/base/units.h"

namespace plimsoll {

// Chunks [first, first + count).
struct ChunkRange {
  int64_t first = 0;
  int64_t count = 0;
};

class Arena {
 public:
  virtual ~Arena() = default;

  virtual std::string_view kind() const = 0;  // "host", "cuda-vmm", "cuda-slab"
  virtual std::byte* base() const = 0;        // first byte of chunk 0; valid on the arena's device
  virtual Bytes chunk_bytes() const = 0;
  virtual int64_t chunks() const = 0;  // how many may ever be committed
  virtual Bytes committed_bytes() const = 0;

  virtual absl::Status Commit(ChunkRange range) = 0;
  virtual absl::Status Decommit(ChunkRange range) = 0;

  // A file descriptor, owned by the caller, that another process may map to see the chunk. With
  // kind "host" it is the file of the whole arena, and chunk i starts at byte i * chunk_bytes();
  // with kind "cuda-vmm" it is a handle of this chunk alone.
  virtual absl::StatusOr<int> Export(int64_t chunk) = 0;
  // The other side, in place of committing a chunk: maps what an arena of the kind "cuda-vmm" in
  // another process exported. The file stays the caller's.
  virtual absl::Status Import(int64_t /*chunk*/, int /*file*/, bool /*writable*/) {
    return absl::UnimplementedError("memory of this kind maps no chunk of another process");
  }
};

// Anonymous shared memory (memfd and mmap). `max_bytes` is rounded up to whole chunks. Commit takes
// the pages at once, zeroed. InvalidArgument unless `max_bytes` > 0 and `chunk_bytes` is a positive
// multiple of the page size.
absl::StatusOr<std::unique_ptr<Arena>> CreateHostArena(Bytes max_bytes, Bytes chunk_bytes);

}  // namespace plimsoll
