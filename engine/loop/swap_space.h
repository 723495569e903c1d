// Where sequences that stop keep their K and V: blocks in the host's memory, pinned where the pool
// is a GPU's, and copies of whole blocks both ways.
//
// What a sequence held is kept if there is room and copying it out and back takes less time than
// computing it again. Both are measured: a block's copies once, when the space is made, and the
// time of a token in every step.
//
// Copies are noted under the admission lock and made after it, in the order in which they were
// noted and before the next pass writes to the pool.
//
// Invariants: those of SwapTier. Threads: the one that steps. Cost: a sequence's blocks, out and
// in. Errors: those of the arena and of pinning at creation; those of the copies.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/kv_cache.h"
#include "kvcache/pool/swap_tier.h"

namespace plimsoll {

// Whether copying so many blocks out and back is cheaper than computing so many tokens.
struct SwapRates {
  double block_seconds;  // of a block, both ways
  double token_seconds;  // of a token in a step

  bool Worth(Blocks blocks, Tokens tokens) const {
    return static_cast<double>(blocks.value()) * block_seconds <
           static_cast<double>(tokens.value()) * token_seconds;
  }
};

class SwapSpace {
 public:
  struct Options {
    Bytes block_bytes;                                   // of the pool
    Blocks blocks;                                       // to keep, at least one
    std::optional<double> block_seconds = std::nullopt;  // default: as measured
  };
  // `cache`, `backend` and the pool's memory, in which block 0 is there, outlive it.
  static absl::StatusOr<std::unique_ptr<SwapSpace>> Create(KvCache& cache,
                                                           const DeviceBackend& backend,
                                                           std::byte* pool, const Options& options);

  // Preempts the sequence and keeps what it held; false, and no change, where that is not worth it
  // or there is no room.
  bool SwapOut(SequenceId id);
  bool Has(SequenceId id) const { return tier_->Has(id); }
  // As SwapTier::SwapIn, of a sequence without a prompt that others could find.
  bool SwapIn(SequenceId id, Blocks total);
  // Of a sequence that ends; harmless where nothing of it is kept.
  void Forget(SequenceId id);

  // Makes what was noted since the last call; after a failure, all of it is lost.
  absl::Status MakeCopies();
  // Whether the last copies failed and were of this sequence.
  bool Lost(SequenceId id) const;

  // A step computed so many tokens.
  void NoteStep(Tokens tokens, Duration busy);

  SwapCounts counts() const { return tier_->counts(); }
  int64_t swapped_out() const { return swapped_out_; }
  int64_t swapped_in() const { return swapped_in_; }
  std::optional<std::string> FindViolation() const { return tier_->FindViolation(); }

 private:
  SwapSpace(KvCache& cache, const DeviceBackend& backend, std::byte* pool, Bytes block_bytes,
            std::unique_ptr<SwapTier> tier, PinnedMemory pinned);
  absl::Status Measure();
  std::byte* InPool(BlockId block) const;
  void Note(SequenceId id, const std::vector<BlockCopy>& copies, bool out);

  KvCache& cache_;
  const DeviceBackend& backend_;
  std::byte* const pool_;
  const Bytes block_bytes_;
  const std::unique_ptr<SwapTier> tier_;
  const PinnedMemory pinned_;  // the tier's memory; ends before it
  SwapRates rates_ = {.block_seconds = 0, .token_seconds = 0};
  Tokens computed_;
  Duration busy_ = Duration::zero();
  std::vector<DeviceCopy> noted_;
  std::vector<SequenceId> moving_;  // whose copies are noted
  bool failed_ = false;
  int64_t swapped_out_ = 0;
  int64_t swapped_in_ = 0;
};

}  // namespace plimsoll
