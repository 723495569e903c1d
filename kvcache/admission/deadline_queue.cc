#include "kvcache/admission/deadline_queue.h"

namespace plimsoll {

// Most are over later than all before them.
void DeadlineQueue::Set(int64_t number, Place& place, Instant when) {
  Remove(number, place);
  order_.emplace_hint(order_.end(), when, number);
  place = when;
}

void DeadlineQueue::Remove(int64_t number, Place& place) {
  if (!place) return;
  order_.erase({*place, number});
  place.reset();
}

std::optional<DeadlineQueue::Entry> DeadlineQueue::Earliest() const {
  if (order_.empty()) return std::nullopt;
  return *order_.begin();
}

}  // namespace plimsoll
