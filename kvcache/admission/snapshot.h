// What the pool and admission look like at one moment, for readers on any thread.
//
// Invariants: counts are conserved; `revision` grows with every change and a reader sees a whole
// snapshot, never half of two.
//
// Threads: one writer publishes; any number of readers, who never block it (a sequence lock).
// Cost: a read is a copy of a dozen words, retried if a write came between. Errors: none.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "kvcache/pool/kv_cache.h"

namespace plimsoll {

struct AdmissionSnapshot {
  int64_t revision = 0;
  BlockCounts blocks;
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
  int64_t expired = 0;  // leases that ended without a release

  friend bool operator==(const AdmissionSnapshot&, const AdmissionSnapshot&) = default;
};

class SnapshotPublisher {
 public:
  void Publish(const AdmissionSnapshot& snapshot);  // the owner only
  AdmissionSnapshot Read() const;                   // any thread

 private:
  static constexpr size_t kWords = 16;
  std::atomic<uint64_t> sequence_{0};
  std::array<std::atomic<int64_t>, kWords> words_{};
};

}  // namespace plimsoll
