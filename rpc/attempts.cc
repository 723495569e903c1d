#include "rpc/attempts.h"

#include <algorithm>
#include <random>
#include <thread>

#include "kvcache/admission/admission_controller.h"

namespace plimsoll {
namespace {

constexpr Duration kLongestPause = std::chrono::seconds(1);

}  // namespace

std::string RandomRequestId() { return RandomEpoch() + RandomEpoch(); }

Duration RetryPauses::Next() {
  const Duration longest = longest_;
  longest_ = std::min(2 * longest_, kLongestPause);
  return Between(longest / 2, longest);
}

Duration RetryPauses::NotBefore(Duration delay) { return Between(delay, delay + delay / 4); }

Duration RetryPauses::Between(Duration least, Duration most) {
  std::mt19937_64 random(seed_);
  seed_ = random();
  return Duration(std::uniform_int_distribution<int64_t>(least.count(), most.count())(random));
}

Attempts::Attempts(Duration retry_for, uint64_t seed)
    : retry_for_(retry_for), give_up_(SystemClock().Now() + retry_for), pauses_(seed) {}

bool Attempts::Again(const absl::Status& status) {
  if (!allowed() || (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status))) {
    return false;
  }
  return SleepFor(pauses_.Next());
}

bool Attempts::Again(const Refusal& refusal) {
  if (!allowed() || refusal.decision != Decision::kWait) return false;
  return SleepFor(pauses_.NotBefore(refusal.retry_after));
}

bool Attempts::SleepFor(Duration pause) {
  if (SystemClock().Now() + pause > give_up_) return false;
  std::this_thread::sleep_for(pause);
  return true;
}

}  // namespace plimsoll
