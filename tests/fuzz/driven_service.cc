#include "tests/fuzz/driven_service.h"

#include <utility>

#include "absl/synchronization/notification.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr Duration kLongestLease = std::chrono::hours(1);

// Small where a large one would never be reached.
AdmissionOptions OptionsWith(Learning learning) {
  AdmissionOptions options{.epoch = DrivenService::kEpoch};
  options.max_ttl = kLongestLease;
  options.max_context = Tokens(16 * 80);
  options.classes["watermark"] = {.policy = Policy::kWatermark};
  options.classes["quantile"] = {.policy = Policy::kQuantile};
  options.quotas.tenants["kept"] = {.guaranteed = Blocks(8)};
  options.quotas.tenants["capped"] = {.most = Blocks(10)};
  options.max_waiting = 6;
  options.idempotency_bytes = Bytes(4096);
  options.learning = learning;
  return options;
}

std::unique_ptr<KvCache> MakeCache() {
  return *KvCache::Create(
      {.capacity = Blocks(DrivenService::kBlocks), .most = Blocks(DrivenService::kMostBlocks)});
}

}  // namespace

DrivenService::DrivenService(Learning learning, Planner planner)
    : cache_(MakeCache()),
      shared_(*AdmissionController::Create(OptionsWith(learning), *cache_, clock)),
      housekeeper_(shared_, clock),
      health_(std::make_shared<HealthMonitor>(shared_, clock, nullptr)),
      draining_(shared_),
      served_{
          .admission = shared_,
          .clock = clock,
          .housekeeper = housekeeper_,
          .loop = nullptr,
          .identity = {.pool = "fuzz",
                       .epoch = kEpoch,
                       .block_tokens = Tokens(16),
                       .block_bytes = Bytes(1000),
                       .snapshot = {}},
          .info = {.version = "fuzz", .epoch = kEpoch, .model = "", .device = "none"},
          .resize = [this](Blocks total, const PoolResizedHandler& done) { done(Resize(total)); },
          .memory = {},
          .health = *health_,
          .decisions = decisions_,
          .sessions = sessions_,
          .started = clock.WallNow(),
          .draining = draining_,
          .planner = std::move(planner)} {
  housekeeper_.Watch(health_);
}

absl::StatusOr<PoolResized> DrivenService::Resize(Blocks total) {
  return shared_.With([&](AdmissionController& controller) {
    return controller.Resize(total, [](Blocks, auto) { return absl::OkStatus(); });
  });
}

void DrivenService::Settle() {
  absl::Notification done;
  housekeeper_.Post([&done] { done.Notify(); });
  done.WaitForNotification();
}

void DrivenService::Judge() {
  const AdmissionSnapshot now = shared_.With([](AdmissionController& controller) {
    controller.CheckInvariants();
    return controller.Snapshot();
  });
  const BlockCounts& blocks = now.blocks;
  PLIMSOLL_CHECK(blocks.live + blocks.cached + blocks.reserved + blocks.free == blocks.total,
                 blocks.live, blocks.cached, blocks.reserved, blocks.free, blocks.total);
  PLIMSOLL_CHECK(now.headroom >= Blocks(0) && now.headroom <= blocks.total, now.headroom);
  PLIMSOLL_CHECK(housekeeper_.violations() == 0);
}

void DrivenService::JudgeEnd() {
  clock.Advance(kLongestLease + std::chrono::seconds(1));
  const AdmissionSnapshot now = shared_.With([](AdmissionController& controller) {
    controller.Advance();
    return controller.Snapshot();
  });
  Judge();
  PLIMSOLL_CHECK(now.reservations == 0 && now.blocks.free == now.blocks.total, now.reservations,
                 now.blocks.free);
  PLIMSOLL_CHECK(now.waiting == 0, now.waiting);
}

void CallersBooks::Granted(const std::string& id, int64_t blocks, Instant until) {
  held_[id] = {.blocks = blocks, .until = until};
}

void CallersBooks::GivenBack(const std::string& id) { held_.erase(id); }

void CallersBooks::JudgeAt(Instant now, int64_t total_blocks) const {
  int64_t sum = 0;
  for (const auto& [id, held] : held_) {
    if (held.until > now) sum += held.blocks;
  }
  PLIMSOLL_CHECK(sum <= total_blocks, sum, total_blocks);
}

}  // namespace plimsoll
