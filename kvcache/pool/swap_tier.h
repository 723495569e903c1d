// Blocks in the host's memory that keep what sequences held when they were swapped out.
//
// A sequence that is swapped out holds nothing in the cache any more: it is preempted there and
// keeps its id. Swapped in again, it first takes what others find by name too and gets only the
// rest copied back. The tier says which block copies to which; who owns the memory makes the
// copies, in the order of the calls and before anything else is written.
//
// Invariants, which FindViolation() looks for: held + free == total; each swapped sequence has
// BlocksForSequence(length) blocks here, which nobody else has.
//
// Threads: none; the owner serialises calls. Cost: O(blocks of the sequence). The memory is taken
// from the arena at once, when the tier is made.
// Errors: no room is nullopt, an ordinary answer that changes nothing; naming a sequence that is
// not swapped out, or one that is already, aborts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/arena.h"
#include "kvcache/pool/block_pool.h"
#include "kvcache/pool/kv_cache.h"

namespace plimsoll {

struct SwapCounts {
  Blocks total, held, free;
  int64_t sequences = 0;         // swapped out now
  Blocks copied_out, copied_in;  // since the start

  friend bool operator==(const SwapCounts&, const SwapCounts&) = default;
};

class SwapTier {
 public:
  // Room for `capacity` blocks of `block_bytes` > 0. `cache` outlives the tier. InvalidArgument,
  // naming the field, where the arena cannot hold them; the arena's error where it has no memory.
  static absl::StatusOr<std::unique_ptr<SwapTier>> Create(KvCache& cache,
                                                          std::unique_ptr<Arena> arena,
                                                          Bytes block_bytes, Blocks capacity);

  // Takes over what the sequence holds and preempts it. Returns copies from the cache's blocks to
  // the tier's; nullopt without room for them here.
  std::optional<std::vector<BlockCopy>> SwapOut(SequenceId id);
  // Resumes the sequence, with all its tokens and room for `total` blocks, at least what it had.
  // `prompt` names what it holds, as far as that is known. Returns copies from the tier's blocks to
  // the cache's; nullopt without room in the cache.
  std::optional<std::vector<BlockCopy>> SwapIn(SequenceId id, const Prompt& prompt, Blocks total);
  // Forgets a sequence that will not come back, or will be computed again.
  void Drop(SequenceId id);

  bool Has(SequenceId id) const { return swapped_.contains(id); }
  Tokens Length(SequenceId id) const { return RecordOf(id).length; }
  std::byte* At(BlockId block) const;  // its memory
  SwapCounts counts() const;
  std::optional<std::string> FindViolation() const;  // O(capacity)

 private:
  struct Record {
    Tokens length;
    std::vector<BlockId> blocks;
  };

  SwapTier(KvCache& cache, std::unique_ptr<Arena> arena, Bytes block_bytes, BlockPool pool);
  const Record& RecordOf(SequenceId id) const;
  Tokens TokensIn(int64_t block, Tokens length) const;

  KvCache& cache_;
  const std::unique_ptr<Arena> arena_;
  const Bytes block_bytes_;
  BlockPool pool_;
  std::unordered_map<SequenceId, Record> swapped_;
  Blocks copied_out_, copied_in_;
};

}  // namespace plimsoll
