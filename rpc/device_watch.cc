#include "rpc/device_watch.h"

#include <string>

namespace plimsoll {
namespace {

constexpr int64_t kAtOnce = 256;  // under one lock

}  // namespace

void DeviceWatch::Tick(const AdmissionSnapshot& now) {
  absl::MutexLock lock(&mutex_);
  if (stopped_ || served_.loop == nullptr) return;
  const absl::Status why = served_.loop->Failure();
  if (why.ok()) return;
  if (!said_) Say(why);
  if (now.reservations > 0) RevokeSome();
}

void DeviceWatch::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

void DeviceWatch::Say(const absl::Status& why) {
  said_ = true;
  served_.draining.StartForGood(std::string(why.message()));
  const AdmissionSnapshot now = served_.admission.published().Read();
  if (log_ == nullptr) return;
  log_->Write(LogLevel::kError, "device_failed",
              {{"why", std::string(why.message())},
               {"device", served_.info.device},
               {"reservations", std::to_string(now.reservations)}});
}

// The first of them: what is revoked is gone from the list, or goes when its sequence ends.
void DeviceWatch::RevokeSome() {
  served_.admission.With([&](AdmissionController& admission) {
    for (const Holding& holding : admission.HoldingsAfter(0, kAtOnce).holdings) {
      if (holding.state == HoldingState::kStopping) continue;
      admission.Revoke(holding.id).status().IgnoreError();  // it may have ended by itself
    }
  });
}

}  // namespace plimsoll
