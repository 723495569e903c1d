#include "rpc/health.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace plimsoll {
namespace {

constexpr Duration kTellEvery = std::chrono::seconds(1);

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

HealthMonitor::HealthMonitor(SharedAdmission& admission, const Clock& clock, GenerationLoop* loop,
                             const HealthBounds& bounds)
    : admission_(admission), clock_(clock), loop_(loop), bounds_(bounds) {
  ticked_ = stepped_ = std::chrono::steady_clock::now();
}

HealthReport HealthMonitor::Check() const {
  HealthReport report;
  const auto problem = [&report](std::string text) {
    report.ready = false;
    report.problems.push_back(std::move(text));
  };
  if (admission_.published().Read().draining) problem("draining");
  if (const absl::Status alive = Alive(); !alive.ok()) problem(std::string(alive.message()));
  std::optional<Instant> came, due;
  admission_.With([&](AdmissionController& admission) {
    came = admission.OldestWait();
    due = admission.NextDeadline();
  });
  const Instant now = clock_.Now();
  if (came) report.oldest_wait = now - *came;
  if (report.oldest_wait > bounds_.oldest_wait) {
    problem(absl::StrFormat("a request has waited %.1f s for room, more than %.1f s",
                            Seconds(report.oldest_wait), Seconds(bounds_.oldest_wait)));
  }
  if (due && now - *due > bounds_.lease_overdue) {
    problem(absl::StrFormat("what was due %.1f s ago has not ended", Seconds(now - *due)));
  }
  const int64_t running = loop_ == nullptr ? 0 : loop_->Stats().running;
  absl::MutexLock lock(&mutex_);
  const Instant real_now = std::chrono::steady_clock::now();
  if (real_now - ticked_ > bounds_.housekeeper_late) {
    problem(absl::StrFormat("the housekeeper is %.1f s late", Seconds(real_now - ticked_)));
  }
  if (running > 0 && real_now - stepped_ > bounds_.loop_stall) {
    problem(absl::StrFormat("no step for %.1f s while %d sequences run",
                            Seconds(real_now - stepped_), running));
  }
  return report;
}

absl::Status HealthMonitor::Alive() const {
  return loop_ == nullptr ? absl::OkStatus() : loop_->Failure();
}

void HealthMonitor::Tell(std::function<void(bool ready)> tell) {
  absl::MutexLock lock(&telling_);
  tell_ = std::move(tell);
}

void HealthMonitor::Tick(const AdmissionSnapshot&) {
  const Instant real_now = std::chrono::steady_clock::now();
  {
    absl::MutexLock lock(&mutex_);
    ticked_ = real_now;
    NoteProgress(real_now);
  }
  if (real_now - told_ < kTellEvery) return;
  told_ = real_now;
  absl::MutexLock lock(&telling_);
  if (!tell_) return;
  tell_(Check().ready);
  // Who drains says so too, and may have done it between the question and its answer.
  if (admission_.published().Read().draining) tell_(false);
}

void HealthMonitor::NoteProgress(Instant real_now) {
  if (loop_ == nullptr) return;
  const LoopStats stats = loop_->Stats();
  if (stats.steps != steps_ || stats.running == 0) stepped_ = real_now;
  steps_ = stats.steps;
}

}  // namespace plimsoll
