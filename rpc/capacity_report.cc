#include "rpc/capacity_report.h"

#include <nlohmann/json.hpp>

namespace plimsoll {

double UsageOf(const AdmissionSnapshot& now) {
  const BlockCounts& blocks = now.blocks;
  return static_cast<double>((blocks.live + blocks.reserved).value()) /
         static_cast<double>(blocks.total.value());
}

std::string ToJson(const CapacityReport& report, int indent) {
  const AdmissionSnapshot& now = report.snapshot;
  const nlohmann::ordered_json json = {
      {"pool", report.pool},
      {"revision", now.revision},
      {"epoch", report.epoch},
      {"block_tokens", report.block_tokens.value()},
      {"block_bytes", report.block_bytes.value()},
      {"total_blocks", now.blocks.total.value()},
      {"live_blocks", now.blocks.live.value()},
      {"cached_blocks", now.blocks.cached.value()},
      {"reserved_blocks", now.blocks.reserved.value()},
      {"free_blocks", now.blocks.free.value()},
      {"headroom_blocks", now.headroom.value()},
      {"reservations", now.reservations},
      {"waiting", now.waiting},
      {"preempted", now.preempted},
      {"unfilled_slots", now.unfilled.value()},
  };
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace plimsoll
