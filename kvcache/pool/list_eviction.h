// The two orders that one list can keep: who was kept last, and who was kept first.
//
// Threads, errors: see eviction.h. Cost: O(1); 9 bytes per block.
#pragma once

#include <utility>

#include "kvcache/pool/block_list.h"
#include "kvcache/pool/eviction.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

// Least recently used: the block whose last holder let go longest ago.
class LruEviction final : public EvictionPolicy {
 public:
  explicit LruEviction(BlockColumn<BlockLinks::Links> links) : links_(std::move(links)) {}
  bool HasMemory() const { return static_cast<bool>(links_); }

  void Keep(BlockId block, const PrefixKey& key, const BlockUse& use) override;
  void Hold(BlockId block) override;
  void Removed(BlockId block) override { Hold(block); }
  void Moved(BlockId from, BlockId to, bool kept) override;
  BlockId Next() override { return list_.front(); }
  void SetAside(BlockId block) override;
  void BringBack(BlockId block) override;
  void Prefetch(BlockId block) const override { links_.Prefetch(block); }

 private:
  BlockLinks links_;
  BlockLinks::List list_;  // oldest first
};

// First in, first out: the block that was first kept longest ago, found since or not.
class FifoEviction final : public EvictionPolicy {
 public:
  FifoEviction(Blocks capacity, BlockColumn<BlockLinks::Links> links)
      : links_(std::move(links)), places_(static_cast<size_t>(capacity.value())) {}
  bool HasMemory() const { return links_ && places_; }

  void Keep(BlockId block, const PrefixKey& key, const BlockUse& use) override;
  void Hold(BlockId block) override;
  void Removed(BlockId block) override;
  void Moved(BlockId from, BlockId to, bool kept) override;
  BlockId Next() override;
  void SetAside(BlockId block) override;
  void BringBack(BlockId block) override;
  void Prefetch(BlockId block) const override { links_.Prefetch(block); }

 private:
  // A held block stays in its place until that comes to the front; kept again, it goes there.
  enum class Place : uint8_t { kNew, kKept, kHeldInList, kHeldPassed, kAside };

  Place& PlaceOf(BlockId block) { return places_[static_cast<size_t>(block.index())]; }

  BlockLinks links_;
  ZeroedArray<Place> places_;
  BlockLinks::List list_;  // first kept first
};

}  // namespace plimsoll
