#include "engine/loop/swap_space.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/pool/arena.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

constexpr int kMeasuredCopies = 4;

double SecondsOf(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

absl::StatusOr<std::unique_ptr<SwapSpace>> SwapSpace::Create(KvCache& cache,
                                                             const DeviceBackend& backend,
                                                             std::byte* pool,
                                                             const Options& options) {
  const Bytes bytes = options.blocks.value() * options.block_bytes;
  absl::StatusOr<std::unique_ptr<Arena>> arena =
      CpuBackend().CreateArena(bytes, CpuBackend().ChunkGranule());
  if (!arena.ok()) return arena.status();
  absl::StatusOr<std::unique_ptr<SwapTier>> tier =
      SwapTier::Create(cache, *std::move(arena), options.block_bytes, options.blocks);
  if (!tier.ok()) return tier.status();
  absl::StatusOr<PinnedMemory> pinned = backend.Pin((*tier)->At(BlockId(0)), bytes);
  if (!pinned.ok()) return pinned.status();
  std::unique_ptr<SwapSpace> made(new SwapSpace(cache, backend, pool, options.block_bytes,
                                                *std::move(tier), *std::move(pinned)));
  if (options.block_seconds) {
    made->rates_.block_seconds = *options.block_seconds;
  } else {
    PLIMSOLL_RETURN_IF_ERROR(made->Measure());
  }
  return made;
}

SwapSpace::SwapSpace(KvCache& cache, const DeviceBackend& backend, std::byte* pool,
                     Bytes block_bytes, std::unique_ptr<SwapTier> tier, PinnedMemory pinned)
    : cache_(cache),
      backend_(backend),
      pool_(pool),
      block_bytes_(block_bytes),
      tier_(std::move(tier)),
      pinned_(std::move(pinned)) {}

// The first block there and back, which changes nothing; the first time its pages are touched, so
// that time is left out.
absl::Status SwapSpace::Measure() {
  const BlockId first(0);
  const DeviceCopy copies[] = {{tier_->At(first), InPool(first), block_bytes_},
                               {InPool(first), tier_->At(first), block_bytes_}};
  PLIMSOLL_RETURN_IF_ERROR(backend_.CopyAll(copies));
  const SystemClock clock;
  const Instant begin = clock.Now();
  for (int i = 0; i < kMeasuredCopies; ++i) PLIMSOLL_RETURN_IF_ERROR(backend_.CopyAll(copies));
  rates_.block_seconds = SecondsOf(clock.Now() - begin) / kMeasuredCopies;
  return absl::OkStatus();
}

bool SwapSpace::SwapOut(SequenceId id) {
  const Tokens length = cache_.Length(id);
  if (!rates_.Worth(BlocksForSequence(length, cache_.block_tokens()), length)) return false;
  const std::optional<std::vector<BlockCopy>> copies = tier_->SwapOut(id);
  if (!copies) return false;
  Note(id, *copies, /*out=*/true);
  ++swapped_out_;
  return true;
}

bool SwapSpace::SwapIn(SequenceId id, Blocks total) {
  const std::optional<std::vector<BlockCopy>> copies = tier_->SwapIn(id, {}, total);
  if (!copies) return false;
  Note(id, *copies, /*out=*/false);
  ++swapped_in_;
  return true;
}

void SwapSpace::Forget(SequenceId id) {
  if (tier_->Has(id)) tier_->Drop(id);
}

// Whole blocks: the slots behind the last token are copied as they are, and never read.
void SwapSpace::Note(SequenceId id, const std::vector<BlockCopy>& copies, bool out) {
  for (const BlockCopy& copy : copies) {
    if (out) {
      noted_.push_back({tier_->At(copy.to), InPool(copy.from), block_bytes_});
    } else {
      noted_.push_back({InPool(copy.to), tier_->At(copy.from), block_bytes_});
    }
  }
  moving_.push_back(id);
}

absl::Status SwapSpace::MakeCopies() {
  if (failed_) moving_.clear();
  failed_ = false;
  if (noted_.empty()) return absl::OkStatus();
  const absl::Status made = backend_.CopyAll(noted_);
  noted_.clear();
  failed_ = !made.ok();
  if (made.ok()) moving_.clear();
  return Annotate(made, "swap");
}

bool SwapSpace::Lost(SequenceId id) const {
  return failed_ && std::count(moving_.begin(), moving_.end(), id) > 0;
}

void SwapSpace::NoteStep(Tokens tokens, Duration busy) {
  if (tokens == Tokens(0)) return;
  computed_ += tokens;
  busy_ += busy;
  rates_.token_seconds = SecondsOf(busy_) / static_cast<double>(computed_.value());
}

std::byte* SwapSpace::InPool(BlockId block) const {
  return pool_ + block.index() * block_bytes_.value();
}

}  // namespace plimsoll
