#include "rpc/capacity_outlook.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_format.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

constexpr Duration kLeastSpan = seconds(5);
constexpr Duration kNotWorthSaying = std::chrono::hours(24);

Blocks HeldOf(const AdmissionSnapshot& snapshot) {
  return snapshot.blocks.live + snapshot.blocks.reserved;
}

Blocks AvailableOf(const AdmissionSnapshot& snapshot) {
  return snapshot.blocks.free + snapshot.blocks.cached;
}

double SecondsOf(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::optional<Blocks> ShapeOf(std::span<const TimedSnapshot> recent) {
  Blocks held;
  int64_t reservations = 0;
  for (const TimedSnapshot& each : recent) {
    if (each.snapshot.reservations == 0) continue;
    held += HeldOf(each.snapshot);
    reservations += each.snapshot.reservations;
  }
  if (held == Blocks(0)) return std::nullopt;
  return Blocks((held.value() + reservations - 1) / reservations);
}

// Blocks taken in a second, less those given back.
double NetRate(std::span<const TimedSnapshot> recent) {
  if (recent.size() < 2 || recent.back().at - recent.front().at < kLeastSpan) return 0;
  const auto count = static_cast<double>(recent.size());
  double mean_time = 0;
  double mean_available = 0;
  for (const TimedSnapshot& each : recent) {
    mean_time += SecondsOf(each.at - recent.front().at) / count;
    mean_available += static_cast<double>(AvailableOf(each.snapshot).value()) / count;
  }
  double covariance = 0;
  double variance = 0;
  for (const TimedSnapshot& each : recent) {
    const double time = SecondsOf(each.at - recent.front().at) - mean_time;
    const auto available = static_cast<double>(AvailableOf(each.snapshot).value());
    covariance += time * (available - mean_available);
    variance += time * time;
  }
  return -covariance / variance;
}

std::optional<Duration> FullIn(Blocks available, double net_rate) {
  if (net_rate <= 0) return std::nullopt;
  const double until = static_cast<double>(available.value()) / net_rate;
  if (until >= SecondsOf(kNotWorthSaying)) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(until));
}

std::string Requests(int64_t count) {
  return absl::StrFormat("%d request%s", count, count == 1 ? "" : "s");
}

// Why there is none, where the newest report says so itself.
std::string WhyNoRoom(const AdmissionSnapshot& now) {
  if (now.draining) {
    return absl::StrFormat("draining: nothing new is taken; %s hold%s %d blocks",
                           Requests(now.reservations), now.reservations == 1 ? "s" : "",
                           HeldOf(now).value());
  }
  if (now.waiting > 0) {
    return absl::StrFormat("no room: %s wait%s, %d blocks are free", Requests(now.waiting),
                           now.waiting == 1 ? "s" : "", AvailableOf(now).value());
  }
  return {};
}

}  // namespace

CapacityOutlook OutlookOf(std::span<const TimedSnapshot> recent) {
  CapacityOutlook outlook;
  if (recent.empty()) return outlook;
  outlook.now = recent.back().snapshot;
  outlook.shape = ShapeOf(recent);
  if (outlook.shape) outlook.room = outlook.now.headroom.value() / outlook.shape->value();
  outlook.net_blocks_per_second = NetRate(recent);
  outlook.full_in = FullIn(AvailableOf(outlook.now), outlook.net_blocks_per_second);
  return outlook;
}

std::string SentenceOf(const CapacityOutlook& outlook) {
  const std::string why = WhyNoRoom(outlook.now);
  if (!why.empty()) return why;
  if (!outlook.room) {
    return absl::StrFormat("room for %d blocks; no request is held yet",
                           outlook.now.headroom.value());
  }
  if (*outlook.room == 0) {
    return absl::StrFormat("full: a request of the current shape takes %d blocks, %d are left",
                           outlook.shape->value(), outlook.now.headroom.value());
  }
  const std::string when =
      outlook.full_in ? "full in " + AboutText(*outlook.full_in) : "not filling up";
  return absl::StrFormat("room for %d more request%s of the current shape; %s", *outlook.room,
                         *outlook.room == 1 ? "" : "s", when);
}

std::string AboutText(Duration duration) {
  const double in_seconds = SecondsOf(duration);
  if (in_seconds < 90) return absl::StrFormat("about %.0f s", std::ceil(in_seconds));
  if (in_seconds < 90 * 60) return absl::StrFormat("about %.0f min", in_seconds / 60);
  return absl::StrFormat("about %.0f h", in_seconds / 3600);
}

void RecentReports::Add(Instant at, const CapacityReport& report) {
  const bool other_pool =
      !reports_.empty() && (report.epoch != epoch_ ||
                            report.snapshot.blocks.total != reports_.back().snapshot.blocks.total);
  if (other_pool) reports_.clear();
  epoch_ = report.epoch;
  const bool soon = reports_.size() >= 2 && at - reports_[reports_.size() - 2].at < kLeastApart;
  if (soon) reports_.pop_back();
  reports_.push_back({.at = at, .snapshot = report.snapshot});
  while (at - reports_.front().at > kSpan) reports_.pop_front();
}

CapacityOutlook RecentReports::Outlook() const {
  const std::vector<TimedSnapshot> reports(reports_.begin(), reports_.end());
  return OutlookOf(reports);
}

}  // namespace plimsoll
