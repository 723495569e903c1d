#include "kvcache/admission/deadline_queue.h"

namespace plimsoll {

void DeadlineQueue::Set(int64_t number, Instant when) {
  const auto [place, fresh] = deadlines_.try_emplace(number, when);
  if (!fresh) {
    order_.erase({place->second, number});
    place->second = when;
  }
  order_.emplace(when, number);
}

void DeadlineQueue::Remove(int64_t number) {
  const auto found = deadlines_.find(number);
  if (found == deadlines_.end()) return;
  order_.erase({found->second, number});
  deadlines_.erase(found);
}

std::optional<DeadlineQueue::Entry> DeadlineQueue::Earliest() const {
  if (order_.empty()) return std::nullopt;
  return *order_.begin();
}

}  // namespace plimsoll
