// What is held under leases, and how it ends.
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"

namespace plimsoll {

absl::StatusOr<ReservationRecord*> AdmissionController::State::FindHeld(std::string_view id) {
  const absl::StatusOr<int64_t> number = ParseReservationId(id, options.epoch);
  if (!number.ok()) return number.status();
  ReservationRecord* const record = book.Find(*number);
  if (record == nullptr) return NoReservation(id, {});
  if (record->ended) return NoReservation(id, "it has ended");
  if (record->stop_requested) return NoReservation(id, "it was released");
  return record;
}

absl::StatusOr<ReservationRecord*> AdmissionController::State::FindRunning(std::string_view id) {
  const absl::StatusOr<int64_t> number = ParseReservationId(id, options.epoch);
  if (!number.ok()) return number.status();
  ReservationRecord* const record = book.Find(*number);
  if (record == nullptr || !record->sequence) return NoReservation(id, "no sequence runs on it");
  return record;
}

Reservation AdmissionController::State::View(const ReservationRecord& record, Instant now) const {
  Reservation reservation = record.reservation;
  if (record.sequence) {
    reservation.expires = now + reservation.ttl;
    reservation.expire_time = clock.WallNow() + reservation.ttl;
  }
  return reservation;
}

void AdmissionController::State::SignOfLife(ReservationRecord& record, Instant now) {
  Reservation& reservation = record.reservation;
  reservation.confirmed = true;
  reservation.expires = now + reservation.ttl;
  reservation.expire_time = clock.WallNow() + reservation.ttl;
  if (!record.sequence) leases.Set(record.number, reservation.expires);
}

void AdmissionController::State::PromiseMore(ReservationRecord& record, Blocks blocks) {
  if (blocks <= record.reservation.blocks) return;
  const Blocks more = blocks - record.reservation.blocks;
  const bool promised = cache.Promise(more);
  PLIMSOLL_CHECK(promised, more, cache.available());
  if (const auto its = record.sequence ? record.sequence : record.prepared) {
    cache.AddPromise(*its, more);
  }
  record.reservation.blocks = blocks;
}

void AdmissionController::State::NoteGrowth(ReservationRecord& record, Tokens total) {
  const Tokens before = record.reservation.prompt_tokens + record.generated;
  if (total <= before) return;
  policy->Grew(record.place, total - before);
  record.generated += total - before;
  policy->Stepped(false);
}

void AdmissionController::State::Finish(ReservationRecord& record, Instant now, bool cut_off) {
  if (cut_off && !promises_whole()) {
    policy->Preempted(record.place);
  } else {
    policy->Ended(record.place);
  }
  if (record.sequence) {
    cache.End(*record.sequence);
  } else {
    leases.Remove(record.number);
    if (record.prepared) {
      cache.End(*record.prepared);
    } else {
      cache.Forgo(record.reservation.blocks);
    }
  }
  returns.Add(record.reservation.blocks - record.reservation.prefix_blocks, now);
  book.End(record, now);
}

// In order of time, so that who waited until after a lease ended is served and not turned away,
// however late this is called.
void AdmissionController::State::EndWhatIsOver(Instant now) {
  for (;;) {
    const std::optional<DeadlineQueue::Entry> lease = leases.Earliest();
    const std::optional<DeadlineQueue::Entry> wait = queue.EarliestDeadline();
    const bool lease_over = lease && lease->first <= now;
    const bool wait_over = wait && wait->first <= now;
    if (lease_over && (!wait_over || lease->first <= wait->first)) {
      ++counters.expired;
      Finish(*book.Find(lease->second), now, /*cut_off=*/true);
    } else if (wait_over) {
      TurnAway(*queue.Remove(wait->second), Reason::kWaitTimeout, now);
    } else {
      break;
    }
    ServeWaiters(now);
  }
  // What was computed meanwhile may be the prefix of who waits, or change what the policy expects.
  if (cache.shares_prefixes() || !promises_whole()) ServeWaiters(now);
  book.Forget(now);
  Publish();
}

AdmissionSnapshot AdmissionController::State::Current() const {
  AdmissionSnapshot snapshot = counters;
  snapshot.revision = last.revision;
  snapshot.blocks = cache.counts();
  const bool closed = draining || queue.size() > 0;
  snapshot.headroom = closed ? Blocks(0) : snapshot.blocks.free + snapshot.blocks.cached;
  snapshot.reservations = book.held();
  snapshot.waiting = queue.size();
  snapshot.draining = draining;
  return snapshot;
}

void AdmissionController::State::Publish() {
  AdmissionSnapshot snapshot = Current();
  if (snapshot == last) return;
  ++snapshot.revision;
  last = snapshot;
  published.Publish(last);
}

}  // namespace plimsoll
