// What an AdmissionController keeps, and the steps its calls are made of. Private to this folder.
//
// Every public call that may change something first ends what is over (EndWhatIsOver), then does
// its work, then settles (Settle). Blocks are freed only by Finish, and who waits is served only by
// ServeWaiters.
//
// Threads, cost, errors: see admission_controller.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kvcache/admission/admission_controller.h"
#include "kvcache/admission/deadline_queue.h"
#include "kvcache/admission/never_evict.h"
#include "kvcache/admission/reservation_book.h"
#include "kvcache/admission/return_rate.h"
#include "kvcache/admission/wait_queue.h"

namespace plimsoll {

// What it asks of a policy.
Demand DemandOf(const ReservationRequest& request);

struct AdmissionController::State {
  State(const AdmissionOptions& options_given, KvCache& cache_given, const Clock& clock_given,
        std::unique_ptr<AdmissionPolicy> policy_given);

  // Deciding.
  // What the request's prompt is called in the cache. A view of the request.
  static Prompt PromptOf(const ReservationRequest& request);
  absl::Status Validate(const ReservationRequest& request) const;
  Verdict Decide(const ReservationRequest& request, Blocks ahead) const;
  // The same under a policy that promises less than the whole.
  Verdict DecideInPart(const AdmissionView& view, const ReservationRequest& request,
                       Verdict verdict) const;
  bool promises_whole() const { return options.policy.policy == Policy::kNeverEvict; }
  Verdict DecideExtension(const ReservationRecord& record, Tokens total) const;
  Refusal Refuse(const Verdict& verdict, Instant now) const;
  Duration RetryAfter(const Verdict& verdict, Instant now) const;
  // The reservation that `request` would get now, without an id.
  Reservation Draft(const ReservationRequest& request, Blocks blocks, Instant now) const;

  // Answering.
  // The reservation that an earlier request with this id got; nullopt if there was none.
  // InvalidArgument if that one, or one that waits, asked for something else.
  absl::StatusOr<std::optional<Reservation>> FindRepeat(const ReservationRequest& request,
                                                        Instant now) const;
  // What can be said at once; counts nothing as refused.
  absl::StatusOr<Answer> AnswerNow(const ReservationRequest& request, Instant now);
  ReservationRecord& Grant(const ReservationRequest& request, Blocks blocks, Instant now);
  void CountRefusal(const Refusal& refusal);
  void ServeWaiters(Instant now);
  // Answers callers who wait under the request id that `record` was just given to.
  void ServeRepeats(const ReservationRecord& record, Instant now);
  // Takes a caller out of the queue with a refusal: `reason` in place of the verdict's.
  void TurnAway(const Waiter& waiter, Reason reason, Instant now);

  // Holding.
  // The record of a held reservation; NotFound if it has ended, or was released and stops.
  absl::StatusOr<ReservationRecord*> FindHeld(std::string_view id);
  absl::StatusOr<ReservationRecord*> FindRunning(std::string_view id);
  // As callers see it: while a sequence runs, the lease runs for its ttl from now.
  Reservation View(const ReservationRecord& record, Instant now) const;
  void SignOfLife(ReservationRecord& record, Instant now);
  // Makes its promise cover so many blocks, which are there.
  void PromiseMore(ReservationRecord& record, Blocks blocks);
  // The holder's tokens reach `total`: tells the policy.
  void NoteGrowth(ReservationRecord& record, Tokens total);
  // Gives back everything that the reservation holds. `cut_off`: it was not the holder's wish.
  void Finish(ReservationRecord& record, Instant now, bool cut_off = false);
  void EndWhatIsOver(Instant now);

  // Showing.
  AdmissionSnapshot Current() const;
  // Publishes if anything in the snapshot changed.
  void Publish();
  // Publishes, and in a build with PLIMSOLL_DEBUG_CHECKS verifies everything while it is small.
  void Settle();
  void CheckInvariants() const;

  const AdmissionOptions options;
  KvCache& cache;
  const Clock& clock;
  ReservationBook book;
  DeadlineQueue leases;  // of held reservations whose sequence does not run
  WaitQueue queue;
  const std::unique_ptr<AdmissionPolicy> policy;
  ReturnRate returns;
  bool draining = false;
  AdmissionSnapshot counters;  // only what is counted since the start
  AdmissionSnapshot last;      // as published
  SnapshotPublisher published;
};

}  // namespace plimsoll
