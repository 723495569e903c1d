#include "rpc/draining.h"

namespace plimsoll {

void Draining::Start() {
  absl::MutexLock lock(&mutex_);
  SetLocked(true);
}

void Draining::StartForGood(const std::string& why) {
  absl::MutexLock lock(&mutex_);
  for_good_ = why;
  SetLocked(true);
}

absl::Status Draining::Resume() {
  absl::MutexLock lock(&mutex_);
  if (!for_good_.empty()) return absl::FailedPreconditionError(for_good_);
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
