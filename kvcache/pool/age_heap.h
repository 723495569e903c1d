// Some of the numbers [0, capacity), each with an age, of which the oldest is at hand.
//
// Invariants: no number is in the heap twice; `top` has the least age. Ages are times: the smaller,
// the older.
//
// Threads: none; the owner serialises calls. Cost: O(log size) where an age changes, else O(1);
// nothing is allocated after it is made, and memory of numbers that were never put in is not
// touched. Errors: without memory it is false; `top` of an empty heap aborts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/pool/zeroed_array.h"

namespace plimsoll {

class AgeHeap {
 public:
  explicit AgeHeap(int64_t capacity)
      : items_(static_cast<size_t>(capacity)), places_(static_cast<size_t>(capacity)) {}
  explicit operator bool() const { return items_ && places_; }

  bool empty() const { return size_ == 0; }
  int32_t top() const {
    PLIMSOLL_CHECK(size_ > 0);
    return items_[0].number;
  }
  uint64_t top_age() const {
    PLIMSOLL_CHECK(size_ > 0);
    return items_[0].age;
  }

  // Puts the number in, or gives it another age.
  void Set(int32_t number, uint64_t age) {
    const uint32_t place = PlaceOf(number);
    if (place == 0) {
      items_[size_] = {.age = age, .number = number};
      Rise(size_++);
    } else if (items_[place - 1].age != age) {
      Replace(place - 1, {.age = age, .number = number});
    }
  }
  // Takes the number out, if it is in.
  void Erase(int32_t number) {
    const uint32_t place = std::exchange(PlaceOf(number), 0);
    if (place == 0) return;
    const Item last = items_[--size_];
    if (place - 1 < size_) Replace(place - 1, last);
  }

 private:
  struct Item {
    uint64_t age;
    int32_t number;
  };

  uint32_t& PlaceOf(int32_t number) { return places_[static_cast<size_t>(number)]; }
  void Put(size_t at, const Item& item) {
    items_[at] = item;
    PlaceOf(item.number) = static_cast<uint32_t>(at) + 1;
  }
  void Replace(size_t at, const Item& item) {
    const bool older = item.age < items_[at].age;
    Put(at, item);
    older ? Rise(at) : Sink(at);
  }
  void Rise(size_t at) {
    const Item item = items_[at];
    for (; at > 0 && item.age < items_[(at - 1) / 2].age; at = (at - 1) / 2) {
      Put(at, items_[(at - 1) / 2]);
    }
    Put(at, item);
  }
  void Sink(size_t at) {
    const Item item = items_[at];
    for (size_t child = 2 * at + 1; child < size_; child = 2 * at + 1) {
      if (child + 1 < size_ && items_[child + 1].age < items_[child].age) ++child;
      if (item.age <= items_[child].age) break;
      Put(at, items_[child]);
      at = child;
    }
    Put(at, item);
  }

  size_t size_ = 0;
  ZeroedArray<Item> items_;
  ZeroedArray<uint32_t> places_;  // by number: one more than where it is, zero where it is not in
};

}  // namespace plimsoll
