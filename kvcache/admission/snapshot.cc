// The sequence lock, without fences, which ThreadSanitizer cannot follow: each word is stored with
// release and loaded with acquire, so a reader that sees one new word also sees that the sequence
// number moved.
#include "kvcache/admission/snapshot.h"

#include <limits>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

using Words = std::array<int64_t, 12>;

// Two counts in a word. There are at most 2^31 - 1 blocks, and each reservation holds one.
int64_t Packed(int64_t low, int64_t high) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  PLIMSOLL_CHECK(low >= 0 && low <= kMost && high >= 0 && high <= kMost, low, high);
  return high << 32 | low;
}

int64_t Low(int64_t word) { return word & std::numeric_limits<uint32_t>::max(); }
int64_t High(int64_t word) { return word >> 32; }

// Those that change most come first.
Words ToWords(const AdmissionSnapshot& s) {
  return {Packed(s.blocks.live.value(), s.blocks.cached.value()),
          Packed(s.blocks.reserved.value(), s.blocks.free.value()),
          Packed(s.headroom.value(), s.reservations),
          Packed(s.blocks.total.value(), s.waiting * 2 + (s.draining ? 1 : 0)),
          s.admitted,
          s.released,
          s.expired,
          s.unfilled.value(),
          s.waited,
          s.refused_wait,
          s.refused_never,
          s.preempted};
}

AdmissionSnapshot FromWords(int64_t revision, const Words& w) {
  return {.revision = revision,
          .blocks = {.total = Blocks(Low(w[3])),
                     .live = Blocks(Low(w[0])),
                     .cached = Blocks(High(w[0])),
                     .reserved = Blocks(Low(w[1])),
                     .free = Blocks(High(w[1]))},
          .unfilled = Tokens(w[7]),
          .headroom = Blocks(Low(w[2])),
          .reservations = High(w[2]),
          .waiting = High(w[3]) / 2,
          .draining = High(w[3]) % 2 != 0,
          .admitted = w[4],
          .waited = w[8],
          .refused_wait = w[9],
          .refused_never = w[10],
          .released = w[5],
          .expired = w[6],
          .preempted = w[11]};
}

}  // namespace

// A processor without the instruction ignores it. The builtin asks for a copy to read on x86-64.
void SnapshotPublisher::Expect() {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(sequence_));
#else
  __builtin_prefetch(&sequence_, 1);
#endif
}

// The sequence number is odd while a write is under way.
void SnapshotPublisher::Publish(const AdmissionSnapshot& snapshot) {
  const Words words = ToWords(snapshot);
  static_assert(std::tuple_size_v<Words> == kWords);
  const int64_t sequence = 2 * snapshot.revision;
  PLIMSOLL_CHECK(sequence > written_sequence_, snapshot.revision);
  written_sequence_ = sequence;
  sequence_.store(sequence - 1, std::memory_order_relaxed);
  for (size_t i = 0; i < kWords; ++i) {
    if (written_[i] != words[i]) words_[i].store(words[i], std::memory_order_release);
  }
  written_ = words;
  sequence_.store(sequence, std::memory_order_release);
}

AdmissionSnapshot SnapshotPublisher::Read() const {
  for (;;) {
    const int64_t before = sequence_.load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    Words words;
    for (size_t i = 0; i < kWords; ++i) words[i] = words_[i].load(std::memory_order_acquire);
    if (sequence_.load(std::memory_order_relaxed) == before) return FromWords(before / 2, words);
  }
}

}  // namespace plimsoll
