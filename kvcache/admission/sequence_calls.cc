// The calls of the loop that owns running sequences: growing, suspending, resuming.
#include <algorithm>
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

// What a suspended sequence needs to start over.
Demand DemandToResume(const ReservationRecord& record) {
  return {.tenant = record.request.tenant,
          .prompt = record.terms.prompt_tokens,
          .max_new = record.terms.max_new_tokens,
          .generated = record.generated};
}

}  // namespace

ReservationRecord& AdmissionController::State::Running(std::string_view id) {
  const absl::StatusOr<ReservationRecord*> found = FindRunning(id);
  PLIMSOLL_CHECK(found.ok(), found.status().message());
  return **found;
}

// It may have as many tokens as before, and gets its blocks when it resumes; more it may ask for
// then.
Answer AdmissionController::State::ExtendSuspended(ReservationRecord& record, Tokens total,
                                                   Instant now) {
  SignOfLife(record, now);
  const Terms& terms = record.terms;
  if (total <= terms.prompt_tokens + terms.max_new_tokens) return View(record, now);
  Verdict verdict = DecideExtension(record, total);
  if (verdict.decision != Decision::kNever) {
    verdict.decision = Decision::kWait;
    verdict.reason = Reason::kNoFreeBlocks;
    verdict.missing = std::max(verdict.missing, Blocks(1));
  }
  return Refuse(record.request.tenant, verdict, now);
}

bool AdmissionController::promises_whole() const { return state_->policies.all_promise_whole(); }

Reason AdmissionController::GrowSequence(std::string_view id, Tokens total) {
  ReservationRecord& record = state_->Running(id);
  const Terms& terms = record.terms;
  PLIMSOLL_CHECK(!record.suspended && total <= terms.prompt_tokens + terms.max_new_tokens, id,
                 total);
  if (BlocksForSequence(total, state_->cache.block_tokens()) > terms.blocks) {
    const Verdict verdict = state_->DecideExtension(record, total);
    if (verdict.decision != Decision::kAdmitted) return verdict.reason;
    state_->PromiseMore(record, verdict.needed);
  }
  state_->NoteGrowth(record, total, state_->clock.Now());
  return Reason::kNone;
}

bool AdmissionController::GivesWay(std::string_view id, std::string_view other,
                                   Reason reason) const {
  const ReservationRecord& record = state_->Running(id);
  const std::string& tenant = record.request.tenant;
  if (record.its_class->promises_whole()) return false;
  if (tenant == state_->Running(other).request.tenant) return true;
  return reason != Reason::kTenantQuota && state_->tenants.RoomOf(tenant).own == Blocks(0);
}

void AdmissionController::SuspendSequence(std::string_view id, const PreemptSequence& preempt) {
  ReservationRecord& record = state_->Running(id);
  PLIMSOLL_CHECK(!record.suspended && !record.its_class->promises_whole(), id);
  record.its_class->Overflow();
  record.its_class->End(record.place, /*cut_off=*/true);
  const Blocks before = state_->cache.available();
  preempt ? preempt(*record.sequence) : state_->cache.Preempt(*record.sequence);
  state_->CountChange(*record.account, before);
  record.terms.prefix_blocks = Blocks(0);
  state_->NotePromised(record, std::exchange(record.terms.blocks, Blocks(0)));
  record.suspended = true;
  record.by_hashes = false;
  record.reported.reset();  // what it waits from now on is no part of its pace
  state_->remaining.Remove(record.number, record.ends);
  ++state_->suspended;
  ++state_->counters.preempted;
  state_->Publish();
}

Reason AdmissionController::ResumeSequence(std::string_view id, const RestartSequence& restart) {
  ReservationRecord& record = state_->Running(id);
  PLIMSOLL_CHECK(record.suspended, id);
  const Demand demand = DemandToResume(record);
  const AdmissionView view = state_->ViewForHolder(record);
  Verdict verdict = DecideEver(view, demand.prompt + demand.max_new);
  const RequestClass& its = *record.its_class;
  verdict.needed = its.policy().AtStart(demand);
  DecideNow(view, FitsInOwn(view, verdict.needed), state_->MayComeBack(demand, its, view.free),
            verdict);
  if (verdict.decision != Decision::kAdmitted) return verdict.reason;
  const Blocks before = state_->cache.available();
  const bool resumed = restart ? restart(*record.sequence, verdict.needed)
                               : state_->cache.Resume(*record.sequence, {}, verdict.needed);
  PLIMSOLL_CHECK(resumed, verdict.needed, before);
  state_->CountChange(*record.account, before);
  record.place = record.its_class->Start(demand);
  state_->NotePromised(record, std::exchange(record.terms.blocks, verdict.needed));
  record.suspended = false;
  --state_->suspended;
  const Instant now = state_->clock.Now();
  state_->NoteRemaining(record, now);
  state_->Settle(now);
  return Reason::kNone;
}

}  // namespace plimsoll
