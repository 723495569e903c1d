// Evicts what is least likely to be worth its room, by what was learned of blocks like it.
//
// Blocks are told apart by how they were last used (their class: was the block found or added, how
// much did the request add, how often had the deepest block that it found been used) and by their
// age. ReuseStatistics says what a block of each class and age is worth; the victim is the oldest
// block of the least worthy class and age. eviction.md says why this works, and where it does not.
//
// Each class and age bin is a cell with a list of blocks, oldest first. Cells are ordered by worth
// every 64 requests; a bit for each cell in that order says whether it holds anything, so finding
// the victim is finding the first bit. Every request moves blocks that outgrew their bin to the
// next, which happens to a block at most 13 times in its stay.
//
// Threads, errors: see eviction.h. Cost: O(1) per block, amortised, and O(occupied cells) per
// request; every 64th request sorts all cells, some 100 us. 16 bytes per block.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kvcache/pool/block_list.h"
#include "kvcache/pool/eviction.h"
#include "kvcache/pool/reuse_statistics.h"

namespace plimsoll {

class LearnedEviction final : public EvictionPolicy {
 public:
  LearnedEviction(Blocks capacity, Tokens block_tokens, EvictionColumns columns);
  bool HasMemory() const { return links_ && kept_at_ && blocks_; }

  void BeginRequest() override;
  bool LearnsFromKeys() const override { return true; }
  void Asked(std::span<const PrefixKey> keys) override;
  UseTag Found(std::span<const BlockId> found, int64_t asked) override;

  void Stored(BlockId block) override;
  void Keep(BlockId block, const PrefixKey& key, const BlockUse& use) override;
  void Hold(BlockId block) override;
  void Removed(BlockId block) override { Hold(block); }
  void Moved(BlockId from, BlockId to, bool kept) override;
  BlockId Next() override;
  void SetAside(BlockId block) override;
  void BringBack(BlockId block) override;
  void Prefetch(BlockId block) const override;

 private:
  static constexpr int kBins = ReuseStatistics::kBins;

  struct Block {
    uint8_t class_number;  // of its last use
    uint8_t bin;           // of its age, as of the latest request
    uint8_t uses;          // by requests since it was stored, at most 255
    bool aside;
  };

  Block& At(BlockId block) { return blocks_[static_cast<size_t>(block.index())]; }
  uint32_t& KeptAt(BlockId block) { return kept_at_[static_cast<size_t>(block.index())]; }
  static size_t CellOf(const Block& block) {
    return static_cast<size_t>(block.class_number) * kBins + block.bin;
  }
  void Link(BlockId block, bool oldest);
  void Unlink(BlockId block);
  void SetOccupied(size_t cell);
  // Moves what outgrew its bin to the next.
  void Age(size_t cell);
  void OrderCells();

  const int64_t block_tokens_;
  ReuseStatistics statistics_;
  BlockLinks links_;
  BlockColumn<uint32_t> kept_at_;  // by block, in requests
  ZeroedArray<Block> blocks_;
  uint32_t now_ = 0;                     // requests so far
  std::vector<BlockLinks::List> cells_;  // by class and bin
  std::vector<uint16_t> order_;          // cells, least worthy first
  std::vector<uint16_t> place_;          // by cell: where it is in the order
  std::vector<uint64_t> occupied_;       // one bit for each place
};

}  // namespace plimsoll
