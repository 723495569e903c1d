// What is held under leases, and how it ends.
#include <algorithm>
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"

namespace plimsoll {

absl::StatusOr<ReservationRecord*> AdmissionController::State::FindHeld(std::string_view id) {
  const absl::StatusOr<int64_t> number = ParseReservationId(id, options.epoch);
  if (!number.ok()) return number.status();
  ReservationRecord* const record = book.Find(*number);
  if (record == nullptr) return NoReservation(id, {});
  if (record->revoked) return NoReservation(id, "it was revoked");
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
  Reservation reservation = Show(record.terms, record.request.tenant);
  reservation.id = ReservationIdOf(options.epoch, record.number);
  reservation.ended = record.ended || record.stop_requested;
  if (record.sequence || record.kept) {
    reservation.expires = now + reservation.ttl;
    reservation.expire_time = WallAt(now) + reservation.ttl;
  }
  return reservation;
}

WallTime AdmissionController::State::WallAt(Instant now) const {
  if (now != wall_read_at) {
    wall_read_at = now;
    wall = clock.WallNow();
  }
  return wall;
}

void AdmissionController::State::SignOfLife(ReservationRecord& record, Instant now) {
  Terms& terms = record.terms;
  terms.confirmed = true;
  terms.expires = now + terms.ttl;
  terms.expire_time = WallAt(now) + terms.ttl;
  if (!record.sequence && !record.kept) leases.Set(record.number, record.lease, terms.expires);
}

void AdmissionController::State::PromiseMore(ReservationRecord& record, Blocks blocks) {
  if (blocks <= record.terms.blocks) return;
  const Blocks more = blocks - record.terms.blocks;
  const Blocks before = cache.available();
  const bool promised = cache.Promise(more);
  PLIMSOLL_CHECK(promised, more, before);
  CountChange(*record.account, before);
  if (const auto its = record.sequence ? record.sequence : record.prepared) {
    cache.AddPromise(*its, more);
  }
  const Blocks before_this = std::exchange(record.terms.blocks, blocks);
  NotePromised(record, before_this);
}

void AdmissionController::State::NotePromised(const ReservationRecord& record, Blocks before) {
  if (policies.all_promise_whole()) return;
  if (record.its_class->promises_whole()) {
    promised_whole += record.ended ? Blocks(0) : record.terms.blocks;
    promised_whole -= before;
  }
  TellRoom();
}

void AdmissionController::State::TellRoom() {
  const Blocks kept = promised_whole + tenants.kept();
  policies.SetRoom(cache.counts().total - std::min(kept, cache.counts().total));
}

void AdmissionController::State::NoteRemaining(ReservationRecord& record, Instant now) {
  const Tokens most = record.terms.max_new_tokens;
  remaining.Set(record.number, record.ends, most - std::min(most, record.generated), now);
}

// The first report says when generating began, not how long it takes.
void AdmissionController::State::NoteGrowth(ReservationRecord& record, Tokens total, Instant now) {
  const Tokens before = record.terms.prompt_tokens + record.generated;
  if (total <= before) return;
  record.its_class->Grow(record.place, total - before);
  record.generated += total - before;
  if (record.reported) remaining.Paced(total - before, now - *record.reported, now);
  record.reported = now;
  NoteRemaining(record, now);
}

void AdmissionController::State::CountChange(TenantAccount& account, Blocks available_before) {
  const Blocks available = cache.available();
  const bool more = available < available_before;
  if (more) {
    tenants.Take(account, available_before - available);
  } else {
    tenants.GiveBack(account, available - available_before);
    if (tenants.owes()) GrantOwed();
  }
  if (queue.size() == 0) return;
  if (!more) queue.Return(account.use.tenant);
  queue.Stir(account.purse);
}

// Of minimums that were raised: who waits for one may be served now.
void AdmissionController::State::GrantOwed() {
  tenants.Grant(cache.available());
  for (size_t purse = 0; purse < tenants.purses(); ++purse) queue.Stir(purse);
}

void AdmissionController::State::Finish(ReservationRecord& record, Instant now, EndCause how) {
  record.gave_up = how == EndCause::kReleased && stalled.Has(record.number);
  stalled.Remove(record.number);
  remaining.Remove(record.number, record.ends);
  if (record.suspended) {
    --suspended;  // its class knows
    record.suspended = false;
  } else {
    record.its_class->End(record.place, how == EndCause::kExpired || record.gave_up);
  }
  const Blocks before = cache.available();
  if (record.sequence) {
    cache.End(*record.sequence);
  } else {
    leases.Remove(record.number, record.lease);
    if (record.prepared) {
      cache.End(*record.prepared);
    } else {
      cache.Forgo(record.terms.blocks);
    }
  }
  CountChange(*record.account, before);
  CountEnd(*record.account, how);
  record.kept = false;
  if (LeaseKeeper* const keeper = std::exchange(record.keeper, nullptr)) {
    keeper->Ended(record.number, how);
  }
  returns.Add(record.terms.blocks - record.terms.prefix_blocks, now);
  book.End(record, now);
  NotePromised(record, record.terms.blocks);
}

void AdmissionController::State::CountEnd(TenantAccount& account, EndCause how) {
  ++(how == EndCause::kExpired ? counters.expired : counters.released);
  ++(how == EndCause::kExpired ? account.use.expired : account.use.released);
  --account.use.reservations;
  tenants.Note(account);
}

// In order of time, so that who waited until after a lease ended is served and not turned away,
// however late this is called.
void AdmissionController::State::EndWhatIsOver(Instant now) {
  bool ended = false;
  while (EndNext(now)) {
    ServeWaiters(now);
    ended = true;
  }
  queue.Promote(now);
  // What was computed meanwhile may be the prefix of who waits, or change what the policy expects.
  if (cache.shares_prefixes() || !policies.all_promise_whole()) ServeWaiters(now);
  book.Forget(now);
  if (ended) Publish();
}

bool AdmissionController::State::EndNext(Instant now) {
  const std::optional<DeadlineQueue::Entry> lease = leases.Earliest();
  const std::optional<DeadlineQueue::Entry> wait = queue.EarliestDeadline();
  const std::optional<Instant> promotion = queue.EarliestPromotion();
  const std::optional<DeadlineQueue::Entry> lapse = stalled.EarliestLapse();
  Instant next = Instant::max();
  if (lease) next = lease->first;
  if (wait) next = std::min(next, wait->first);
  if (promotion) next = std::min(next, *promotion);
  if (lapse) next = std::min(next, lapse->first);
  if (learning_until) next = std::min(next, *learning_until);
  if (next > now || next == Instant::max()) return false;
  queue.Promote(next);
  if (lease && lease->first == next) {
    ReservationRecord& silent = *book.Find(lease->second);
    tally.Expired(silent.terms.confirmed);
    Finish(silent, now, EndCause::kExpired);
  } else if (wait && wait->first == next) {
    TurnAway(*queue.Remove(wait->second), Reason::kWaitTimeout, now);
  } else if (lapse && lapse->first == next) {
    stalled.Remove(lapse->second);
  } else if (learning_until && *learning_until == next) {
    learning_until.reset();
  }
  return true;
}

AdmissionSnapshot AdmissionController::State::Current() const {
  AdmissionSnapshot snapshot = counters;
  snapshot.revision = last.revision;
  snapshot.blocks = cache.counts();
  const CacheUsage usage = cache.Usage();
  snapshot.unfilled = usage.slots - usage.filled;
  const bool closed = draining || learning_until || !queue.all_aside();
  const Blocks room = cache.available() - tenants.kept();
  snapshot.headroom = closed ? Blocks(0) : room - std::min(room, stalled.OwedBefore(kNoSeniority));
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
