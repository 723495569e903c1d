// The memory of a pool of blocks: an arena with as many chunks committed as the blocks need.
//
// Block i is at byte i * block_bytes of the arena, so a pool grows and shrinks at its end.
// Addresses are reserved for the largest pool at the start and stay what they are.
//
// Invariant: the chunks that are committed are the first ones, and hold all blocks.
//
// Threads: the one that owns the engine. Cost: of a move, a copy on the device; else that of the
// arena. Errors: those of the arena and of the copies; a failed call leaves what was there.
#pragma once

#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "kvcache/pool/block_pool.h"

namespace plimsoll {

class PoolMemory {
 public:
  struct Options {
    Bytes block_bytes;
    Blocks blocks;        // there at once; 0: only addresses, where the arena can
    Blocks most;          // at least `blocks`
    bool poison = false;  // fills what is committed with NaN
  };
  // `backend` outlives it.
  static absl::StatusOr<std::unique_ptr<PoolMemory>> Create(const DeviceBackend& backend,
                                                            const Options& options);

  Arena& arena() { return *arena_; }
  // Before a pool has `total` blocks: memory for them, then the copies of whole blocks.
  absl::Status Prepare(Blocks total, std::span<const BlockMove> moves);
  // After it has: gives back the chunks that hold none of them.
  absl::Status GiveBackBeyond(Blocks total);

 private:
  PoolMemory(const DeviceBackend& backend, const Options& options, std::unique_ptr<Arena> arena);
  int64_t ChunksFor(Blocks total) const;
  int64_t Committed() const;
  absl::Status Poison(ChunkRange range) const;

  const DeviceBackend& backend_;
  const Options options_;
  const std::unique_ptr<Arena> arena_;
};

}  // namespace plimsoll
