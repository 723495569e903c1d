#include "kvcache/pool/learned_eviction.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

namespace plimsoll {
namespace {

constexpr uint32_t kRequestsBetweenOrders = 64;
constexpr int64_t kRememberedPerPart = 8;  // of what a request found, and of what it added

// How a request used its blocks. Chosen by what told reuse apart in chat traces.
constexpr std::array<int64_t, 5> kAddedTokens = {512, 1536, 4096, 10240, 30720};  // at most
constexpr std::array<int64_t, 6> kEarlierUses = {0, 1, 2, 4, 8, 16};              // at most
constexpr int kSizes = kAddedTokens.size() + 1;
constexpr int kUses = kEarlierUses.size() + 1;
constexpr int kTags = kSizes * kUses;
constexpr int kParts = 3;  // found, added, the last one added
constexpr int kClasses = kParts * kTags;

template <size_t N>
int StepOf(int64_t n, const std::array<int64_t, N>& at_most) {
  return static_cast<int>(std::lower_bound(at_most.begin(), at_most.end(), n) - at_most.begin());
}

int ClassOf(const BlockUse& use) {
  const int part = use.found ? 0 : use.last ? 2 : 1;
  return part * kTags + use.tag;
}

// Classes that differ only in the earlier uses are one group.
std::vector<uint8_t> Groups() {
  std::vector<uint8_t> groups;
  for (int i = 0; i < kClasses; ++i) groups.push_back(static_cast<uint8_t>(i / kUses));
  return groups;
}

}  // namespace

LearnedEviction::LearnedEviction(Blocks capacity, Tokens block_tokens, EvictionColumns columns)
    : block_tokens_(block_tokens.value()),
      statistics_(Groups()),
      links_(std::move(columns.links)),
      kept_at_(std::move(columns.kept_at)),
      blocks_(static_cast<size_t>(capacity.value())),
      cells_(kClasses * kBins),
      order_(cells_.size()),
      place_(cells_.size()),
      occupied_(cells_.size() / 64 + 1) {
  std::iota(order_.begin(), order_.end(), uint16_t{0});
  OrderCells();
}

void LearnedEviction::BeginRequest() {
  statistics_.Advance(++now_);
  if (now_ % kRequestsBetweenOrders == 0) {
    statistics_.Learn();
    OrderCells();
  }
  for (size_t word = 0; word < occupied_.size(); ++word) {
    for (uint64_t bits = occupied_[word]; bits != 0; bits &= bits - 1) {
      Age(order_[word * 64 + static_cast<size_t>(std::countr_zero(bits))]);
    }
  }
}

void LearnedEviction::Age(size_t cell) {
  const int bin = static_cast<int>(cell % kBins);
  if (bin == kBins - 1) return;
  while (!cells_[cell].empty()) {
    const BlockId oldest = cells_[cell].front();
    if (now_ - KeptAt(oldest) < ReuseStatistics::StartOf(bin + 1)) return;
    Unlink(oldest);
    ++At(oldest).bin;
    Link(oldest, false);
  }
}

void LearnedEviction::Asked(std::span<const PrefixKey> keys) {
  for (const PrefixKey& key : keys) statistics_.Asked(key);
}

UseTag LearnedEviction::Found(std::span<const BlockId> found, int64_t asked) {
  const int64_t added = (asked - std::ssize(found)) * block_tokens_;
  const int64_t uses = found.empty() ? 0 : At(found.back()).uses;
  for (const BlockId block : found) {
    if (At(block).uses < UINT8_MAX) ++At(block).uses;
  }
  return static_cast<UseTag>(StepOf(added, kAddedTokens) * kUses + StepOf(uses, kEarlierUses));
}

void LearnedEviction::Stored(BlockId block) { At(block).uses = 1; }

void LearnedEviction::Keep(BlockId block, const PrefixKey& key, const BlockUse& use) {
  const int class_number = ClassOf(use);
  const int64_t stride = std::max<int64_t>(1, use.part_size / kRememberedPerPart);
  if (use.position % stride == 0) {
    const int64_t remembered = (use.part_size + stride - 1) / stride;
    statistics_.Remember(key, class_number, 1.0F / static_cast<float>(remembered));
  }
  KeptAt(block) = now_;
  At(block).class_number = static_cast<uint8_t>(class_number);
  At(block).bin = 0;
  Link(block, false);
}

void LearnedEviction::Hold(BlockId block) {
  if (!At(block).aside) Unlink(block);
  At(block).aside = false;
}

void LearnedEviction::Moved(BlockId from, BlockId to, bool kept) {
  At(to) = std::exchange(At(from), {});
  KeptAt(to) = std::exchange(KeptAt(from), 0);
  if (kept && !At(to).aside) links_.Replace(cells_[CellOf(At(to))], from, to);
}

BlockId LearnedEviction::Next() {
  size_t word = 0;
  while (occupied_[word] == 0) ++word;
  const auto bit = static_cast<size_t>(std::countr_zero(occupied_[word]));
  return cells_[order_[word * 64 + bit]].front();
}

void LearnedEviction::SetAside(BlockId block) {
  Unlink(block);
  At(block).aside = true;
}

// It came up before all that is in its cell now, so it goes before them.
void LearnedEviction::BringBack(BlockId block) {
  if (!At(block).aside) return;
  At(block).aside = false;
  At(block).bin = static_cast<uint8_t>(ReuseStatistics::BinOf(now_ - KeptAt(block)));
  Link(block, true);
}

void LearnedEviction::Prefetch(BlockId block) const {
  links_.Prefetch(block);
  __builtin_prefetch(&blocks_[static_cast<size_t>(block.index())]);
}

void LearnedEviction::Link(BlockId block, bool oldest) {
  const size_t cell = CellOf(At(block));
  if (cells_[cell].empty()) SetOccupied(cell);
  if (oldest) {
    links_.PushFront(cells_[cell], block);
  } else {
    links_.PushBack(cells_[cell], block);
  }
}

void LearnedEviction::Unlink(BlockId block) {
  const size_t cell = CellOf(At(block));
  links_.Remove(cells_[cell], block);
  if (cells_[cell].empty()) occupied_[place_[cell] / 64] &= ~(uint64_t{1} << (place_[cell] % 64));
}

void LearnedEviction::SetOccupied(size_t cell) {
  occupied_[place_[cell] / 64] |= uint64_t{1} << (place_[cell] % 64);
}

// Ties are broken by cell, so that the order is the same everywhere.
void LearnedEviction::OrderCells() {
  const auto worth = [&](uint16_t cell) { return statistics_.Worth(cell / kBins, cell % kBins); };
  std::sort(order_.begin(), order_.end(), [&](uint16_t a, uint16_t b) {
    return worth(a) != worth(b) ? worth(a) < worth(b) : a < b;
  });
  std::fill(occupied_.begin(), occupied_.end(), 0);
  for (size_t i = 0; i < order_.size(); ++i) {
    place_[order_[i]] = static_cast<uint16_t>(i);
    if (!cells_[order_[i]].empty()) SetOccupied(order_[i]);
  }
}

}  // namespace plimsoll
