// Which record each reservation number names, and which of them are held.
//
// Numbers are given in order and most reservations end soon, so what is known are nearly all of the
// latest numbers: they lie side by side in a ring, a word and a bit for each. The few that are much
// older than the rest move to a tree, so that one that is held for days does not make the ring
// long.
//
// Invariants: the ring has the numbers from `first_` up to the next one, whether or not they still
// name a record; it grows only where a quarter of its places name one.
//
// Threads: none; the owner serialises calls. Cost: O(1), for the few O(log n); SeeHeldAfter looks
// at a bit for each number in the ring. Errors: misuse (a number that names nothing) aborts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/container/btree_map.h"

namespace plimsoll {

struct ReservationRecord;

class RecordIndex {
 public:
  // The next number, from 1 on, names a record that is held.
  void Add(ReservationRecord* record);
  int64_t next_number() const { return next_; }
  // Null where it names nothing.
  ReservationRecord* Find(int64_t number) const {
    if (number >= next_ || number < 1) return nullptr;
    return number >= first_ ? ring_[PlaceOf(number)] : FindOld(number);
  }
  // It stays known.
  void SetEnded(int64_t number);
  void Remove(int64_t number);
  // As if the latest number had not been given, which named a record and was removed.
  void TakeBackLatest();

  // All, in no order.
  template <class See>
  void SeeAll(See see) const {
    for (const auto& [number, old] : old_) see(*old.record);
    for (const ReservationRecord* record : ring_) {
      if (record != nullptr) see(*record);
    }
  }
  // Held ones with numbers after this one, in order, until `see` says false.
  template <class See>
  void SeeHeldAfter(int64_t number, See see) const {
    for (auto it = old_.upper_bound(number); it != old_.end(); ++it) {
      if (it->second.held && !see(*it->second.record)) return;
    }
    const int64_t from = number < first_ ? first_ : std::min(number, next_) + 1;
    for (int64_t n = NextHeld(from); n < next_; n = NextHeld(n + 1)) {
      if (!see(*ring_[PlaceOf(n)])) return;
    }
  }

 private:
  struct Old {
    ReservationRecord* record;
    bool held;
  };

  size_t PlaceOf(int64_t number) const { return static_cast<size_t>(number) & (ring_.size() - 1); }
  uint64_t& WordOf(size_t place) { return held_[place / 64]; }
  static uint64_t BitOf(size_t place) { return uint64_t{1} << (place % 64); }
  ReservationRecord* FindOld(int64_t number) const;
  // The first held number from this one on that is in the ring; the next number where none is.
  int64_t NextHeld(int64_t number) const;
  void MakeRoom();
  void Grow();

  std::vector<ReservationRecord*> ring_;  // a power of two
  std::vector<uint64_t> held_;            // a bit for each place of the ring
  absl::btree_map<int64_t, Old> old_;
  int64_t in_ring_ = 0;  // records
  int64_t first_ = 1;
  int64_t next_ = 1;
};

}  // namespace plimsoll
