#include "rpc/housekeeper.h"

#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"

namespace plimsoll {
namespace {

std::string CountsText(const AdmissionSnapshot& now) {
  const BlockCounts& blocks = now.blocks;
  return absl::StrFormat(
      "blocks are not conserved at revision %d: live %d + cached %d + reserved %d + free %d is not "
      "%d",
      now.revision, blocks.live.value(), blocks.cached.value(), blocks.reserved.value(),
      blocks.free.value(), blocks.total.value());
}

}  // namespace

Housekeeper::Housekeeper(SharedAdmission& admission, const Clock& clock)
    : admission_(admission), clock_(clock), thread_([this] { Run(); }) {}

Housekeeper::~Housekeeper() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Housekeeper::Post(std::function<void()> job) {
  {
    MutexLock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void Housekeeper::Watch(std::shared_ptr<Watcher> watcher) {
  MutexLock lock(mutex_);
  const Watcher* const key = watcher.get();
  watchers_.emplace(key, std::move(watcher));
}

void Housekeeper::Unwatch(const Watcher* watcher) {
  MutexLock lock(mutex_);
  watchers_.erase(watcher);
}

void Housekeeper::Run() {
  // Ticks keep real time, so that a test may move the leases' time alone.
  auto next_tick = std::chrono::steady_clock::now();
  while (RunJobs()) {
    if (std::chrono::steady_clock::now() < next_tick) continue;
    EndLeases();
    Report();
    next_tick = std::chrono::steady_clock::now() + kTick;
  }
}

bool Housekeeper::RunJobs() {
  std::vector<std::function<void()>> jobs;
  bool stopping = false;
  {
    MutexLock lock(mutex_);
    // By the clock that never jumps: a wait by the time of day lasts an hour when that is set back.
    if (!stopping_ && jobs_.empty()) wake_.wait_for(mutex_, kTick);
    jobs.swap(jobs_);
    stopping = stopping_;
  }
  for (const std::function<void()>& job : jobs) job();
  return !stopping || !jobs.empty();
}

void Housekeeper::EndLeases() {
  admission_.With([&](AdmissionController& admission) {
    const std::optional<Instant> due = admission.NextDeadline();
    if (due && *due <= clock_.Now()) admission.Advance();
  });
}

void Housekeeper::Report() {
  const AdmissionSnapshot now = admission_.published().Read();
  if (now.revision != verified_revision_ && !now.blocks.Conserved()) {
    violations_.fetch_add(1);
    const std::optional<std::string> owner = admission_.With(
        [](AdmissionController& admission) { return admission.cache().FindViolation(); });
    std::fprintf(stderr, "plimsoll: %s; %s\n", CountsText(now).c_str(),
                 owner.value_or("a recount finds nothing wrong").c_str());
  }
  verified_revision_ = now.revision;
  std::vector<std::shared_ptr<Watcher>> watchers;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, watcher] : watchers_) watchers.push_back(watcher);
  }
  for (const std::shared_ptr<Watcher>& watcher : watchers) watcher->Tick(now);
}

}  // namespace plimsoll
