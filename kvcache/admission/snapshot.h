// What the pool and admission look like at one moment, for readers on any thread.
//
// Invariants: counts are conserved; `revision` grows with every change and a reader sees a whole
// snapshot, never half of two.
//
// Threads: one writer publishes; any number of readers, who never block it (a sequence lock).
// Cost: a read is a copy of a dozen words, retried if a write came between. What changes with every
// grant and release is in one cache line, so that a writer beside readers waits for one only, and
// for less of it where it says early that it is about to publish.
// Errors: a revision that does not grow, or a count of 2^31 or more, aborts.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "kvcache/pool/kv_cache.h"

namespace plimsoll {

struct AdmissionSnapshot {
  int64_t revision = 0;
  BlockCounts blocks;
  // Slots of live blocks without a token, in last blocks and lookahead.
  Tokens unfilled = Tokens(0);
  Blocks headroom;           // what a new request may still be promised
  int64_t reservations = 0;  // held now
  int64_t waiting = 0;       // callers in the queue
  bool draining = false;
  // Since the start:
  int64_t admitted = 0;
  int64_t waited = 0;        // admitted after queueing
  int64_t refused_wait = 0;  // told to wait, timed out included
  int64_t refused_never = 0;
  int64_t released = 0;
  int64_t expired = 0;    // leases that ended without a release
  int64_t preempted = 0;  // times that a running sequence stopped, to start over

  friend bool operator==(const AdmissionSnapshot&, const AdmissionSnapshot&) = default;
};

class SnapshotPublisher {
 public:
  // The owner only, shortly before it publishes: asks for the line that readers hold, and goes on.
  void Expect();
  // The owner only. The revision is larger than that of the one before.
  void Publish(const AdmissionSnapshot& snapshot);
  AdmissionSnapshot Read() const;  // any thread
  // At least that of what was published last, less than the next one. Any thread; one word.
  int64_t Revision() const { return sequence_.load(std::memory_order_acquire) / 2; }

 private:
  static constexpr size_t kOften = 7;  // words that fill the first line with the sequence number
  static constexpr size_t kWords = kOften + 5;
  // What the owner wrote last, apart: to read it there it would wait for the readers' copies.
  int64_t written_sequence_ = 0;
  std::array<int64_t, kWords> written_{};
  // Twice the revision, or one less while that is being written.
  alignas(128) std::atomic<int64_t> sequence_{0};  // processors fetch lines in pairs
  std::array<std::atomic<int64_t>, kWords> words_{};
  // And some fetch what comes next, up to twenty lines on: nothing that the owner works with.
  [[maybe_unused]] std::array<char, 2048> unused_{};
};

}  // namespace plimsoll
