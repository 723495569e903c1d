#include "tools/client/answer_text.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"

namespace plimsoll {
namespace {

// RFC 3339 in UTC, to the millisecond.
std::string TimeText(WallTime time) {
  const int64_t ms = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                         utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

double SecondsOf(Duration duration) {
  return std::chrono::duration<double>(std::chrono::ceil<std::chrono::milliseconds>(duration))
      .count();
}

nlohmann::ordered_json JsonOf(const Reservation& granted) {
  return {{"decision", std::string(NameOf(Decision::kAdmitted))},
          {"reservation_id", granted.id},
          {"epoch", granted.epoch},
          {"blocks", granted.blocks.value()},
          {"expire_time", TimeText(granted.expire_time)}};
}

nlohmann::ordered_json JsonOf(const Refusal& refusal) {
  return {{"decision", std::string(NameOf(refusal.decision))},
          {"reason", std::string(NameOf(refusal.reason))},
          {"missing_blocks", refusal.missing.value()},
          {"retry_after_seconds", SecondsOf(refusal.retry_after)},
          {"largest_fit_tokens", refusal.largest_fit.value()}};
}

std::string TextOf(const Reservation& granted) {
  if (granted.id.empty()) {
    return absl::StrFormat("would be admitted: %d blocks\n", granted.blocks.value());
  }
  return absl::StrFormat("admitted: reservation %s, %d blocks, until %s\n", granted.id,
                         granted.blocks.value(), TimeText(granted.expire_time));
}

std::string TextOf(const Refusal& refusal) {
  const std::string start =
      absl::StrFormat("%s: %s: needs %d blocks", std::string(NameOf(refusal.decision)),
                      std::string(NameOf(refusal.reason)), refusal.needed.value());
  if (refusal.decision == Decision::kNever) {
    return absl::StrFormat(
        "%s, more than the %s %s; at most %d tokens fit\n", start, refusal.binding_term,
        refusal.binding_term == "tenant" ? "may hold" : "holds", refusal.largest_fit.value());
  }
  return absl::StrFormat("%s, %d short; ask again in %.3fs\n", start, refusal.missing.value(),
                         SecondsOf(refusal.retry_after));
}

}  // namespace

std::string AnswerJson(const Answer& answer) {
  const nlohmann::ordered_json json =
      std::visit([](const auto& outcome) { return JsonOf(outcome); }, answer);
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string AnswerText(const Answer& answer) {
  return std::visit([](const auto& outcome) { return TextOf(outcome); }, answer);
}

std::string ResizedJson(const PoolResized& resized) {
  const nlohmann::ordered_json json = {{"previous_blocks", resized.before.value()},
                                       {"total_blocks", resized.now.value()},
                                       {"evicted_blocks", resized.evicted.value()},
                                       {"moved_blocks", resized.moved.value()}};
  return json.dump(2) + "\n";
}

std::string ResizedText(const PoolResized& resized) {
  return absl::StrFormat("resized: %d blocks, before %d; %d evicted, %d moved\n",
                         resized.now.value(), resized.before.value(), resized.evicted.value(),
                         resized.moved.value());
}

std::string DrainJson(const HeldAtDrain& held) {
  const nlohmann::ordered_json json = {{"draining", true},
                                       {"reservations", held.reservations},
                                       {"held_blocks", held.blocks.value()}};
  return json.dump(2) + "\n";
}

std::string DrainText(const HeldAtDrain& held) {
  return absl::StrFormat("draining: %d reservations hold %d blocks\n", held.reservations,
                         held.blocks.value());
}

std::string RevokedJson(const Revocation& revocation) {
  const nlohmann::ordered_json json = {
      {"revoked", true}, {"blocks", revocation.blocks.value()}, {"stopping", revocation.stopping}};
  return json.dump(2) + "\n";
}

std::string RevokedText(const Revocation& revocation) {
  return absl::StrFormat("revoked: %d blocks%s\n", revocation.blocks.value(),
                         revocation.stopping ? ", when its sequence has stopped" : "");
}

std::string CapacityText(const CapacityReport& report) {
  const AdmissionSnapshot& now = report.snapshot;
  const std::string block =
      report.block_bytes == Bytes(0) ? "" : " (" + FormatSize(report.block_bytes) + ")";
  return absl::StrFormat(
      "pool %s, revision %d, epoch %s\n"
      "%d blocks of %d tokens%s: live %d, cached %d, reserved %d, free %d; headroom %d\n"
      "%d reservations held, %d requests waiting%s\n",
      report.pool, now.revision, report.epoch, now.blocks.total.value(),
      report.block_tokens.value(), block, now.blocks.live.value(), now.blocks.cached.value(),
      now.blocks.reserved.value(), now.blocks.free.value(), now.headroom.value(), now.reservations,
      now.waiting, now.draining ? "; draining" : "");
}

}  // namespace plimsoll
