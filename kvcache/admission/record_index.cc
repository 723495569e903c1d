#include "kvcache/admission/record_index.h"

#include <algorithm>
#include <bit>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr size_t kLeast = 64;  // places of the ring

}  // namespace

void RecordIndex::Add(ReservationRecord* record) {
  if (next_ - first_ == std::ssize(ring_)) MakeRoom();
  const size_t place = PlaceOf(next_++);
  ring_[place] = record;
  WordOf(place) |= BitOf(place);
  ++in_ring_;
}

ReservationRecord* RecordIndex::FindOld(int64_t number) const {
  const auto found = old_.find(number);
  return found == old_.end() ? nullptr : found->second.record;
}

void RecordIndex::SetEnded(int64_t number) {
  if (number < first_) {
    old_.at(number).held = false;
    return;
  }
  const size_t place = PlaceOf(number);
  WordOf(place) &= ~BitOf(place);
}

void RecordIndex::Remove(int64_t number) {
  PLIMSOLL_CHECK(Find(number) != nullptr, number, first_, next_);
  if (number < first_) {
    old_.erase(number);
    return;
  }
  SetEnded(number);
  ring_[PlaceOf(number)] = nullptr;
  --in_ring_;
}

void RecordIndex::TakeBackLatest() {
  PLIMSOLL_CHECK(next_ > first_ && ring_[PlaceOf(next_ - 1)] == nullptr, first_, next_);
  --next_;
}

// A place at the front is free, or becomes so because what it names is old, or there are too many
// for that.
void RecordIndex::MakeRoom() {
  const bool full = ring_.empty() || ring_[PlaceOf(first_)] != nullptr;
  if (full && 4 * in_ring_ >= std::ssize(ring_)) return Grow();
  const size_t place = PlaceOf(first_);
  if (ReservationRecord* const record = ring_[place]) {
    const bool held = (WordOf(place) & BitOf(place)) != 0;
    old_.emplace_hint(old_.end(), first_, Old{.record = record, .held = held});
    Remove(first_);
  }
  ++first_;
}

void RecordIndex::Grow() {
  RecordIndex larger;
  larger.ring_.resize(std::max(kLeast, 2 * ring_.size()));
  larger.held_.resize(larger.ring_.size() / 64);
  for (int64_t number = first_; number < next_; ++number) {
    const size_t from = PlaceOf(number), to = larger.PlaceOf(number);
    larger.ring_[to] = ring_[from];
    if ((WordOf(from) & BitOf(from)) != 0) larger.WordOf(to) |= BitOf(to);
  }
  ring_.swap(larger.ring_);
  held_.swap(larger.held_);
}

int64_t RecordIndex::NextHeld(int64_t number) const {
  while (number < next_) {
    const size_t place = PlaceOf(number);
    const uint64_t rest = held_[place / 64] >> (place % 64);
    if (rest != 0) return std::min(next_, number + std::countr_zero(rest));
    number += 64 - static_cast<int64_t>(place % 64);
  }
  return next_;
}

}  // namespace plimsoll
