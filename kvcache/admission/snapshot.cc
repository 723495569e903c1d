// The sequence lock, without fences, which ThreadSanitizer cannot follow: each word is stored with
// release and loaded with acquire, so a reader that sees one new word also sees that the sequence
// number moved.
#include "kvcache/admission/snapshot.h"

namespace plimsoll {
namespace {

using Words = std::array<int64_t, 16>;

Words ToWords(const AdmissionSnapshot& s) {
  return {s.revision,
          s.blocks.total.value(),
          s.blocks.live.value(),
          s.blocks.cached.value(),
          s.blocks.reserved.value(),
          s.blocks.free.value(),
          s.headroom.value(),
          s.reservations,
          s.waiting,
          s.draining ? 1 : 0,
          s.admitted,
          s.waited,
          s.refused_wait,
          s.refused_never,
          s.released,
          s.expired};
}

AdmissionSnapshot FromWords(const Words& w) {
  return {.revision = w[0],
          .blocks = {.total = Blocks(w[1]),
                     .live = Blocks(w[2]),
                     .cached = Blocks(w[3]),
                     .reserved = Blocks(w[4]),
                     .free = Blocks(w[5])},
          .headroom = Blocks(w[6]),
          .reservations = w[7],
          .waiting = w[8],
          .draining = w[9] != 0,
          .admitted = w[10],
          .waited = w[11],
          .refused_wait = w[12],
          .refused_never = w[13],
          .released = w[14],
          .expired = w[15]};
}

}  // namespace

// An odd sequence number says that a write is under way.
void SnapshotPublisher::Publish(const AdmissionSnapshot& snapshot) {
  const Words words = ToWords(snapshot);
  static_assert(std::tuple_size_v<Words> == kWords);
  const uint64_t before = sequence_.load(std::memory_order_relaxed);
  sequence_.store(before + 1, std::memory_order_relaxed);
  for (size_t i = 0; i < kWords; ++i) words_[i].store(words[i], std::memory_order_release);
  sequence_.store(before + 2, std::memory_order_release);
}

AdmissionSnapshot SnapshotPublisher::Read() const {
  for (;;) {
    const uint64_t before = sequence_.load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    Words words;
    for (size_t i = 0; i < kWords; ++i) words[i] = words_[i].load(std::memory_order_acquire);
    if (sequence_.load(std::memory_order_relaxed) == before) return FromWords(words);
  }
}

}  // namespace plimsoll
