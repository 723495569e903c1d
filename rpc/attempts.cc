#include "rpc/attempts.h"

#include <algorithm>
#include <random>
#include <thread>

namespace plimsoll {
namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(50);
constexpr Duration kLongestPause = std::chrono::seconds(1);

// From half of it to all of it.
Duration Jittered(Duration pause) {
  thread_local std::minstd_rand random(std::random_device{}());
  const int64_t half = pause.count() / 2;
  return Duration(half + std::uniform_int_distribution<int64_t>(0, half)(random));
}

}  // namespace

Attempts::Attempts(Duration retry_for)
    : retry_for_(retry_for), give_up_(SystemClock().Now() + retry_for), pause_(kFirstPause) {}

bool Attempts::Again(const absl::Status& status) {
  if (!allowed() || (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status))) {
    return false;
  }
  const Duration pause = Jittered(pause_);
  if (SystemClock().Now() + pause > give_up_) return false;
  std::this_thread::sleep_for(pause);
  pause_ = std::min(2 * pause_, kLongestPause);
  return true;
}

}  // namespace plimsoll
