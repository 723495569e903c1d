#include "engine/loop/step_room.h"

#include <algorithm>

namespace plimsoll {
namespace {

constexpr int64_t kStepsOfRoom = 4;  // that a victim is to make, if it can

}  // namespace

void StepRoom::Resume(AdmissionController& admission, const Generations& active) {
  for (const auto& each : active) {
    if (!each->suspended || each->over) continue;
    const Reason reason = ResumeOne(admission, *each);
    if (reason == Reason::kTenantQuota) continue;  // its tenant waits for itself
    if (reason != Reason::kNone) return;
    each->suspended = false;
  }
}

Reason StepRoom::ResumeOne(AdmissionController& admission, Generation& generation) {
  const std::string& id = generation.request.reservation_id;
  if (swap_ == nullptr || !swap_->Has(generation.sequence)) return admission.ResumeSequence(id);
  return admission.ResumeSequence(
      id, [this](SequenceId sequence, Blocks total) { return swap_->SwapIn(sequence, total); });
}

void StepRoom::Suspend(AdmissionController& admission, Generation& victim) {
  bool kept = false;
  admission.SuspendSequence(victim.request.reservation_id, [&](SequenceId sequence) {
    kept = swap_ != nullptr && swap_->SwapOut(sequence);
    if (!kept) admission.cache().Preempt(sequence);
  });
  if (!kept) {
    victim.computed = 0;
    victim.drawn = {};  // its next token is its first
  }
  victim.suspended = true;
  ++victim.stops;
}

int64_t StepRoom::Grant(AdmissionController& admission, const Generations& active,
                        const std::vector<Generation*>& running, std::vector<StepShare>& shares) {
  int64_t victims = 0;
  for (size_t n = 0; n < shares.size();) {
    const Generation& generation = *running[shares[n].sequence];
    const Tokens total(generation.computed + shares[n].tokens);
    const Reason reason = admission.GrowSequence(generation.request.reservation_id, total);
    if (reason == Reason::kNone) {
      ++n;
      continue;
    }
    const Generation* const victim = SuspendOne(admission, active, generation, reason);
    victims += victim == nullptr ? 0 : 1;
    const auto its = std::find_if(shares.begin(), shares.end(), [&](const StepShare& share) {
      return running[share.sequence] == (victim == nullptr ? &generation : victim);
    });
    if (its == shares.end()) continue;
    if (its - shares.begin() < static_cast<ptrdiff_t>(n)) --n;
    shares.erase(its);
  }
  return victims;
}

Generation* StepRoom::SuspendOne(AdmissionController& admission, const Generations& active,
                                 const Generation& grows, Reason reason) {
  candidates_.clear();
  held_by_.clear();
  const KvCache& cache = admission.cache();
  for (const auto& each : active) {
    if (each->suspended || each->over) continue;
    if (!admission.GivesWay(each->request.reservation_id, grows.request.reservation_id, reason)) {
      continue;
    }
    candidates_.push_back({.arrival = each->ticket,
                           .recompute = Tokens(each->computed),
                           .given_back = cache.RoomIfPreempted(each->sequence),
                           .stops = each->stops});
    held_by_.push_back(each.get());
  }
  if (candidates_.size() < 2) return nullptr;
  const Blocks wanted =
      BlocksCovering(Tokens(kStepsOfRoom * std::ssize(candidates_)), cache.block_tokens());
  Generation* const victim = held_by_[ChooseVictim(rule_, candidates_, wanted)];
  Suspend(admission, *victim);
  return victim;
}

}  // namespace plimsoll
