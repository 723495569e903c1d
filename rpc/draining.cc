#include "rpc/draining.h"

namespace plimsoll {

void Draining::Start() {
  absl::MutexLock lock(&mutex_);
  SetLocked(true);
}

void Draining::StartForGood() {
  absl::MutexLock lock(&mutex_);
  for_good_ = true;
  SetLocked(true);
}

absl::Status Draining::Resume() {
  absl::MutexLock lock(&mutex_);
  if (for_good_) return absl::FailedPreconditionError("the server is shutting down");
  SetLocked(false);
  return absl::OkStatus();
}

// Health goes first when it drains and last when it resumes, so that who sees SERVING is served. It
// is told again after: whoever watches health may have found it ready just before it was not.
void Draining::SetLocked(bool draining) {
  if (draining && tell_) tell_(false);
  admission_.With([&](AdmissionController& admission) { admission.SetDraining(draining); });
  if (tell_) tell_(!draining);
}

}  // namespace plimsoll
