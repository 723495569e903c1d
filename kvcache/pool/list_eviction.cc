#include "kvcache/pool/list_eviction.h"

namespace plimsoll {

void LruEviction::Keep(BlockId block, const PrefixKey&, const BlockUse&) {
  links_.PushBack(list_, block);
}

void LruEviction::Hold(BlockId block) {
  if (links_.IsAside(block)) return links_.EndAside(block);
  links_.Remove(list_, block);
}

void LruEviction::SetAside(BlockId block) {
  links_.Remove(list_, block);
  links_.SetAside(block);
}

void LruEviction::BringBack(BlockId block) {
  if (links_.IsAside(block)) links_.PushFront(list_, block);
}

void LruEviction::Moved(BlockId from, BlockId to, bool kept) {
  if (!kept) return;
  if (!links_.IsAside(from)) return links_.Replace(list_, from, to);
  links_.SetAside(to);
  links_.EndAside(from);
}

void FifoEviction::Keep(BlockId block, const PrefixKey&, const BlockUse&) {
  Place& place = PlaceOf(block);
  if (place == Place::kNew) links_.PushBack(list_, block);
  if (place == Place::kHeldPassed) links_.PushFront(list_, block);
  place = Place::kKept;
}

void FifoEviction::Hold(BlockId block) {
  Place& place = PlaceOf(block);
  place = place == Place::kAside ? Place::kHeldPassed : Place::kHeldInList;
}

void FifoEviction::Removed(BlockId block) {
  Place& place = PlaceOf(block);
  PLIMSOLL_CHECK(place == Place::kKept, block, static_cast<int>(place));
  links_.Remove(list_, block);
  place = Place::kNew;
}

void FifoEviction::Moved(BlockId from, BlockId to, bool /*kept*/) {
  const Place place = PlaceOf(from);
  if (place == Place::kKept || place == Place::kHeldInList) links_.Replace(list_, from, to);
  PlaceOf(to) = place;
  PlaceOf(from) = Place::kNew;
}

BlockId FifoEviction::Next() {
  while (PlaceOf(list_.front()) == Place::kHeldInList) {
    const BlockId held = list_.front();
    links_.Remove(list_, held);
    PlaceOf(held) = Place::kHeldPassed;
  }
  return list_.front();
}

void FifoEviction::SetAside(BlockId block) {
  links_.Remove(list_, block);
  PlaceOf(block) = Place::kAside;
}

void FifoEviction::BringBack(BlockId block) {
  Place& place = PlaceOf(block);
  if (place != Place::kAside) return;
  links_.PushFront(list_, block);
  place = Place::kKept;
}

}  // namespace plimsoll
