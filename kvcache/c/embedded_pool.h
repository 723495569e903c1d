// What a plimsoll_pool is: a cache, its admission if it has one, and the sequences that C knows.
//
// Every precondition of the cache and of admission that a caller in C can break is checked here
// first: below it would abort.
//
// Invariant: with admission every sequence lives on a reservation and never takes more than that
// was promised, so that tenants' counts stay true.
//
// Threads: any; one lock. Cost: that of the call below, one look-up more. Errors: InvalidArgument
// naming the argument, NotFound for an id, FailedPrecondition for a call that this pool does not
// have or that comes at the wrong time, ResourceExhausted without room.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/admission/admission_controller.h"
#include "kvcache/base/mutex.h"
#include "kvcache/c/plimsoll.h"

namespace plimsoll::c_interface {

class EmbeddedPool {
 public:
  static absl::StatusOr<std::shared_ptr<EmbeddedPool>> Create(
      const plimsoll_pool_options* options, const plimsoll_admission_options* admission);

  absl::StatusOr<plimsoll_snapshot> Snapshot();

  absl::StatusOr<int64_t> Find(const plimsoll_prompt* prompt);
  absl::StatusOr<plimsoll_sequence> Begin(const plimsoll_prompt* prompt, int64_t total_tokens);
  absl::StatusOr<plimsoll_sequence> BeginReserved(const char* reservation_id);
  absl::StatusOr<plimsoll_block_copy> Append(int64_t sequence, int64_t tokens, int64_t lookahead);
  absl::Status Truncate(int64_t sequence, int64_t length);
  absl::StatusOr<plimsoll_sequence> Fork(int64_t sequence, int64_t total_tokens);
  absl::Status Name(int64_t sequence, const plimsoll_prompt* names);
  absl::StatusOr<plimsoll_sequence> Get(int64_t sequence);
  absl::Status Table(int64_t sequence, int32_t* blocks, size_t capacity, size_t* count);
  absl::Status End(int64_t sequence);

  absl::StatusOr<plimsoll_answer> Reserve(const ReservationRequest& request);
  absl::StatusOr<plimsoll_answer> CanAdmit(const ReservationRequest& request);
  struct Waiting {
    int64_t ticket = 0;
    plimsoll_answer answer = {};
  };
  absl::StatusOr<Waiting> ReserveOrWait(const ReservationRequest& request, Duration max_wait);
  absl::StatusOr<Waiting> TakeAnswer();
  absl::Status CancelWait(int64_t ticket);
  absl::StatusOr<plimsoll_answer> Extend(const std::string& id, Tokens total);
  absl::StatusOr<plimsoll_answer> Renew(const std::string& id);
  absl::Status Release(const std::string& id);
  absl::Status SetDraining(bool draining);
  absl::Status SetTime(int64_t now_ns);
  absl::StatusOr<int64_t> Tick();

 private:
  struct Sequence {
    std::string reservation;  // that it lives on; empty without admission
    bool by_hash;             // how its blocks are named
  };
  struct Outcome {
    int64_t ticket;
    Answer answer;
  };

  explicit EmbeddedPool(std::unique_ptr<KvCache> cache) : cache_(std::move(cache)) {}
  absl::Status AddAdmission(const plimsoll_admission_options& options);
  const Clock& clock() const;

  absl::Status CheckAdmission() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckNoAdmission() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Sequence*> At(int64_t sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  plimsoll_sequence Describe(SequenceId id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<SequenceId> Start(const plimsoll_prompt& prompt, bool by_hash, Blocks blocks)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the loop did to the cache is published, and leases that are over end.
  void Changed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  const std::unique_ptr<KvCache> cache_ ABSL_PT_GUARDED_BY(mutex_);
  SystemClock system_clock_;
  std::unique_ptr<SimulatedClock> callers_clock_;  // where the caller moves it
  std::unordered_map<int64_t, Sequence> sequences_ ABSL_GUARDED_BY(mutex_);
  std::deque<Outcome> outcomes_ ABSL_GUARDED_BY(mutex_);
  int64_t last_wait_ ABSL_GUARDED_BY(mutex_) = 0;
  // The controller's tickets by ours, which are given before the controller gives its own.
  std::unordered_map<int64_t, int64_t> waits_ ABSL_GUARDED_BY(mutex_);
  // Last, so that it goes first.
  std::unique_ptr<AdmissionController> admission_ ABSL_PT_GUARDED_BY(mutex_);
};

}  // namespace plimsoll::c_interface
