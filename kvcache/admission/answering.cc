// Who gets what: grants, and the queue of those who wait.
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

absl::Status OtherContent(const ReservationRequest& first, const ReservationRequest& repeat) {
  return absl::InvalidArgumentError(
      "request_id: used before for prompt_tokens=" + std::to_string(first.prompt_tokens.value()) +
      " max_new_tokens=" + std::to_string(first.max_new_tokens.value()) +
      "; now prompt_tokens=" + std::to_string(repeat.prompt_tokens.value()) +
      " max_new_tokens=" + std::to_string(repeat.max_new_tokens.value()) +
      ": want the same content, ttl included, or another id");
}

// What was claimed was asked for in another life: of that only what the claim says is known.
bool MayBeRepeat(const ReservationRecord& known, const ReservationRequest& request) {
  if (known.terms.claimed_id.empty()) return SameContent(known.request, request);
  return known.request.prompt_tokens == request.prompt_tokens;
}

}  // namespace

absl::StatusOr<std::optional<Reservation>> AdmissionController::State::FindRepeat(
    const ReservationRequest& request, Instant now) const {
  if (const ReservationRecord* known = book.FindRequest(request)) {
    if (!MayBeRepeat(*known, request)) return OtherContent(known->request, request);
    return View(*known, now);
  }
  if (const std::optional<int64_t> ticket = queue.FindRequest(request.tenant, request.request_id)) {
    const ReservationRequest& first = queue.At(*ticket).request;
    if (!SameContent(first, request)) return OtherContent(first, request);
  }
  return std::nullopt;
}

absl::StatusOr<Answer> AdmissionController::State::AnswerNow(const ReservationRequest& request,
                                                             Instant now, LeaseKeeper* keeper) {
  const int64_t first = book.NextNumber();
  absl::StatusOr<Answer> answer = AnswerUntallied(request, now, keeper);
  TallyGrants(first);
  return answer;
}

void AdmissionController::State::TallyGrants(int64_t first) {
  for (int64_t number = first; number < book.NextNumber(); ++number) {
    tally.Decided(book.Find(number)->request.request_class, Decision::kAdmitted);
  }
}

absl::StatusOr<Answer> AdmissionController::State::AnswerUntallied(
    const ReservationRequest& request, Instant now, LeaseKeeper* keeper) {
  const absl::StatusOr<std::optional<Reservation>> repeat = FindRepeat(request, now);
  if (!repeat.ok()) return repeat.status();
  if (repeat->has_value()) {
    ReservationRecord& known = *book.FindRequest(request);
    Attach(known, keeper, now);
    return View(known, now);
  }
  // What it repeats may have been forgotten since it was validated, and with that its class.
  PLIMSOLL_RETURN_IF_ERROR(ValidateOffered(request));
  const Verdict verdict = DecideNewcomer(request, now);
  if (verdict.decision != Decision::kAdmitted) return Refuse(request.tenant, verdict, now);
  return View(Grant(request, verdict.needed, now, keeper), now);
}

ReservationRecord& AdmissionController::State::Grant(const ReservationRequest& request,
                                                     Blocks blocks, Instant now,
                                                     LeaseKeeper* keeper) {
  ReservationRecord& record = book.Add(request, Draft(request, blocks, now));
  record.granted = now;
  NoteRemaining(record, now);
  record.seniority = record.number;
  if (const ReservationRecord* const resumed = FindResumed(request)) {
    record.seniority = resumed->seniority;
    book.Find(resumed->number)->gave_up = false;  // only one goes on with it
  }
  record.its_class = policies.Find(request.request_class);
  record.account = &tenants.Open(request.tenant);
  const Blocks before = cache.available();
  if (cache.shares_prefixes() && !request.prefix_hashes.empty()) {
    record.prepared = cache.BeginWith(PromptOf(request), blocks);
    PLIMSOLL_CHECK(record.prepared.has_value(), blocks, cache.available());
  } else {
    const bool promised = cache.Promise(blocks);
    PLIMSOLL_CHECK(promised, blocks, cache.available());
  }
  CountChange(*record.account, before);
  ++record.account->use.reservations;
  ++record.account->use.admitted;
  tenants.Note(*record.account);
  record.place = record.its_class->Start(DemandOf(request));
  NotePromised(record, Blocks(0));
  if (keeper == nullptr) leases.Set(record.number, record.lease, record.terms.expires);
  ++counters.admitted;
  Attach(record, keeper, now);
  return record;
}

void AdmissionController::State::CountRefusal(const ReservationRequest& request,
                                              const Refusal& refusal) {
  const bool never = refusal.decision == Decision::kNever;
  ++(never ? counters.refused_never : counters.refused_wait);
  TenantUse& use = tenants.Open(request.tenant).use;
  ++(never ? use.refused_never : use.refused_wait);
  tally.Refused(refusal.reason);
  tally.Decided(request.request_class, refusal.decision);
}

int64_t AdmissionController::State::Wait(Waiter waiter, Instant now) {
  TenantAccount& account = tenants.Open(waiter.request.tenant);
  ++account.use.waiting;
  tenants.Note(account);
  waiter.purse = account.purse;
  waiter.seniority = SeniorityOf(waiter.request);
  return queue.Push(std::move(waiter), now);
}

void AdmissionController::State::NoteLeft(const Waiter& waiter) {
  TenantAccount& account = tenants.Open(waiter.request.tenant);
  --account.use.waiting;
  tally.Queued(clock.Now() - waiter.since);
  tenants.Note(account);
}

// A tenant that is at its maximum steps aside, and who can never fit since the pool is smaller is
// told; anybody else who does not fit is waited for.
void AdmissionController::State::ServeWaiters(Instant now) {
  for (;;) {
    if (const std::optional<size_t> purse = queue.TakeStirred()) {
      if (tenants.guarantees(*purse)) ServePurse(*purse, now);
      continue;
    }
    const std::optional<int64_t> ticket = queue.Front();
    if (!ticket) return;
    const ReservationRequest& request = queue.At(*ticket).request;
    const Verdict verdict = Decide(request, {});
    if (verdict.decision == Decision::kAdmitted) {
      ServeWaiter(queue.Serve(*ticket), verdict.needed, now);
    } else if (verdict.decision == Decision::kNever) {
      TurnAway(*queue.Remove(*ticket), verdict, now);
    } else if (verdict.reason == Reason::kTenantQuota) {
      queue.StepAside(std::string(request.tenant));
    } else {
      return;
    }
  }
}

// It takes nothing from those whose turn it is, so its tenant's turn is not used up.
void AdmissionController::State::ServePurse(size_t purse, Instant now) {
  while (const std::optional<int64_t> ticket = queue.FrontOf(purse)) {
    const ReservationRequest& request = queue.At(*ticket).request;
    const Verdict verdict = Decide(request, {.first = false});
    if (verdict.decision == Decision::kAdmitted) {
      ServeWaiter(*queue.Remove(*ticket), verdict.needed, now);
    } else if (verdict.decision == Decision::kNever) {
      TurnAway(*queue.Remove(*ticket), verdict, now);
    } else if (verdict.reason == Reason::kTenantQuota) {
      queue.StepAside(std::string(request.tenant));
    } else {
      return;
    }
  }
}

// Its repeat may have been granted ahead of it: one that goes on with what gave way stands before
// those who queued for it earlier.
void AdmissionController::State::ServeWaiter(const Waiter& waiter, Blocks blocks, Instant now) {
  if (ReservationRecord* const known = book.FindRequest(waiter.request)) {
    NoteLeft(waiter);
    Attach(*known, waiter.keeper, now);
    Publish();
    waiter.done(View(*known, now));
    return ServeRepeats(*known, now);
  }
  ReservationRecord& record = Grant(waiter.request, blocks, now, waiter.keeper);
  tally.Decided(waiter.request.request_class, Decision::kAdmitted);
  ++counters.waited;
  ++record.account->use.waited;
  NoteLeft(waiter);
  Publish();
  waiter.done(View(record, now));
  ServeRepeats(record, now);
}

void AdmissionController::State::ServeRepeats(ReservationRecord& record, Instant now) {
  const ReservationRequest& request = record.request;
  while (const std::optional<int64_t> ticket =
             queue.FindRequest(request.tenant, request.request_id)) {
    const std::optional<Waiter> waiter = queue.Remove(*ticket);
    NoteLeft(*waiter);
    Attach(record, waiter->keeper, now);
    Publish();
    waiter->done(View(record, now));
  }
}

void AdmissionController::State::TurnAway(const Waiter& waiter, Reason reason, Instant now) {
  Verdict verdict = DecideNewcomer(waiter.request, now);
  if (verdict.decision != Decision::kNever) {  // the pool may have become too small meanwhile
    verdict.decision = Decision::kWait;
    verdict.reason = reason;
  }
  TurnAway(waiter, verdict, now);
}

void AdmissionController::State::TurnAway(const Waiter& waiter, const Verdict& verdict,
                                          Instant now) {
  const Refusal refusal = Refuse(waiter.request.tenant, verdict, now);
  CountRefusal(waiter.request, refusal);
  NoteLeft(waiter);
  Publish();
  waiter.done(refusal);
}

}  // namespace plimsoll
