#include "rpc/convert.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

// Of the years that fit into a count of nanoseconds.
constexpr int64_t kLatestSecond = 9'000'000'000;

constexpr std::array<std::pair<Decision, wire::Decision>, 2> kDecisions = {{
    {Decision::kWait, wire::DECISION_WAIT},
    {Decision::kNever, wire::DECISION_NEVER},
}};

constexpr std::array<std::pair<Reason, wire::Reason>, 7> kReasons = {{
    {Reason::kNoFreeBlocks, wire::REASON_NO_FREE_BLOCKS},
    {Reason::kTenantQuota, wire::REASON_TENANT_QUOTA},
    {Reason::kWaitTimeout, wire::REASON_WAIT_TIMEOUT},
    {Reason::kDraining, wire::REASON_DRAINING},
    {Reason::kLearning, wire::REASON_LEARNING},
    {Reason::kNeverFits, wire::REASON_NEVER_FITS},
    {Reason::kTenantLimit, wire::REASON_TENANT_LIMIT},
}};

template <class Table, class Ours>
auto WireOf(const Table& table, Ours ours) {
  const auto row =
      std::find_if(table.begin(), table.end(), [&](const auto& r) { return r.first == ours; });
  PLIMSOLL_CHECK(row != table.end(), static_cast<int>(ours));
  return row->second;
}

template <class Table, class Theirs>
auto OursOf(const Table& table, Theirs theirs, const char* field, Bounds& bounds) {
  const auto row =
      std::find_if(table.begin(), table.end(), [&](const auto& r) { return r.second == theirs; });
  if (row != table.end()) return row->first;
  bounds.Fail(BadField(field, int64_t{theirs}, "a value of this version"));
  return table.front().first;
}

// Of a duration, or of a time since its epoch.
template <class Message>
void SetTime(Duration duration, Message& out) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(duration);
  out.set_seconds(seconds.count());
  out.set_nanos(static_cast<int32_t>((duration - seconds).count()));
}

}  // namespace

google::protobuf::Duration ToWire(Duration duration) {
  google::protobuf::Duration out;
  SetTime(duration, out);
  return out;
}

google::protobuf::Timestamp ToWire(WallTime time) {
  google::protobuf::Timestamp out;
  SetTime(time.time_since_epoch(), out);
  return out;
}

wire::ReserveCapacityRequest ToWire(const ReservationRequest& request) {
  wire::ReserveCapacityRequest out;
  out.set_request_id(request.request_id);
  out.set_tenant(request.tenant);
  out.set_prompt_tokens(request.prompt_tokens.value());
  out.set_max_new_tokens(request.max_new_tokens.value());
  *out.mutable_ttl() = ToWire(request.ttl);
  out.set_priority(request.priority);
  out.set_request_class(request.request_class);
  out.set_resumes(request.resumes);
  out.mutable_prefix_hashes()->Add(request.prefix_hashes.begin(), request.prefix_hashes.end());
  return out;
}

absl::StatusOr<ReservationRequest> FromWire(wire::ReserveCapacityRequest& in) {
  Bounds bounds;
  ReservationRequest request{
      .request_id =
          bounds.TextIn("request_id", std::move(*in.mutable_request_id()), 0, kMaxTextBytes),
      .tenant = bounds.TextIn("tenant", in.tenant(), 0, kMaxTextBytes),
      .prompt_tokens = bounds.TokensIn("prompt_tokens", in.prompt_tokens(), 1),
      .max_new_tokens = bounds.TokensIn("max_new_tokens", in.max_new_tokens(), 0),
      .ttl = bounds.DurationIn("ttl", in.ttl(), kLongestDuration),
      .priority = static_cast<int>(
          bounds.NumberIn("priority", in.priority(), kLowestPriority, kHighestPriority)),
      .request_class = bounds.TextIn("request_class", in.request_class(), 0, kMaxTextBytes),
      .resumes = bounds.TextIn("resumes", in.resumes(), 0, kMaxTextBytes)};
  bounds.NumberIn("number of prefix_hashes", in.prefix_hashes_size(), 0, kMaxPrefixHashes);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  request.prefix_hashes.assign(in.prefix_hashes().begin(), in.prefix_hashes().end());
  return request;
}

absl::StatusOr<Duration> MaxWaitFrom(const wire::ReserveCapacityRequest& in) {
  Bounds bounds;
  const Duration max_wait = bounds.DurationIn("max_wait", in.max_wait(), kLongestDuration);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return max_wait;
}

absl::StatusOr<Tokens> TotalTokensFrom(const wire::ExtendReservationRequest& in) {
  Bounds bounds;
  const Tokens total = bounds.TokensIn("total_tokens", in.total_tokens(), 1);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return total;
}

absl::StatusOr<std::optional<Tokens>> UsedTokensFrom(const wire::ReleaseReservationRequest& in) {
  if (!in.has_used_tokens()) return std::nullopt;
  Bounds bounds;
  const Tokens used = bounds.TokensIn("used_tokens", in.used_tokens(), 0);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return used;
}

absl::StatusOr<std::string> ReservationIdFrom(std::string id) {
  Bounds bounds;
  std::string text = bounds.TextIn("reservation_id", std::move(id), 1, kMaxTextBytes);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return text;
}

absl::StatusOr<std::vector<std::string>> ReservationIdsFrom(
    const wire::RenewReservationsRequest& in) {
  Bounds bounds;
  const int64_t number = int64_t{in.reservation_ids_size()} + in.claims_size();
  bounds.NumberIn("number of reservation_ids and claims", number, 1, kMaxIdsPerRenewal);
  std::vector<std::string> ids;
  for (const std::string& id : in.reservation_ids()) {
    ids.push_back(bounds.TextIn("reservation_ids", id, 1, kMaxTextBytes));
  }
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return ids;
}

wire::Reservation ToWire(const Reservation& reservation, Instant now) {
  wire::Reservation out;
  ToWire(reservation, now, out);
  return out;
}

// In place: a copy of a message is a dozen allocations.
void ToWire(const Reservation& reservation, Instant now, wire::Reservation& out) {
  out.set_reservation_id(reservation.id);
  out.set_epoch(reservation.epoch);
  out.set_tenant(reservation.tenant);
  out.set_prompt_tokens(reservation.prompt_tokens.value());
  out.set_max_new_tokens(reservation.max_new_tokens.value());
  out.set_blocks(reservation.blocks.value());
  SetTime(reservation.ttl, *out.mutable_ttl());
  SetTime(std::max(reservation.expires - now, Duration::zero()), *out.mutable_remaining());
  SetTime(reservation.expire_time.time_since_epoch(), *out.mutable_expire_time());
  out.set_confirmed(reservation.confirmed);
  if (!reservation.claimed_id.empty()) out.set_claimed_id(reservation.claimed_id);
  out.set_prefix_blocks(reservation.prefix_blocks.value());
  out.set_ended(reservation.ended);
}

absl::StatusOr<Reservation> FromWire(const wire::Reservation& in, Instant now) {
  Bounds bounds;
  const std::chrono::seconds wall(
      bounds.NumberIn("expire_time.seconds", in.expire_time().seconds(), 0, kLatestSecond));
  const Duration nanos(
      bounds.NumberIn("expire_time.nanos", in.expire_time().nanos(), 0, 999'999'999));
  Reservation reservation{
      .id = bounds.TextIn("reservation_id", in.reservation_id(), 0, kMaxTextBytes),
      .epoch = bounds.TextIn("epoch", in.epoch(), 0, kMaxTextBytes),
      .tenant = bounds.TextIn("tenant", in.tenant(), 0, kMaxTextBytes),
      .prompt_tokens = bounds.TokensIn("prompt_tokens", in.prompt_tokens(), 0),
      .max_new_tokens = bounds.TokensIn("max_new_tokens", in.max_new_tokens(), 0),
      .blocks = bounds.BlocksIn("blocks", in.blocks()),
      .prefix_blocks = bounds.BlocksIn("prefix_blocks", in.prefix_blocks()),
      .ttl = bounds.DurationIn("ttl", in.ttl(), kLongestDuration),
      .expires = now + bounds.DurationIn("remaining", in.remaining(), kLongestDuration),
      .expire_time = WallTime(wall + nanos),
      .confirmed = in.confirmed(),
      .claimed_id = bounds.TextIn("claimed_id", in.claimed_id(), 0, kMaxTextBytes),
      .ended = in.ended()};
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return reservation;
}

wire::Rejection ToWire(const Refusal& refusal) {
  wire::Rejection out;
  out.set_decision(WireOf(kDecisions, refusal.decision));
  out.set_reason(WireOf(kReasons, refusal.reason));
  out.set_needed_blocks(refusal.needed.value());
  out.set_missing_blocks(refusal.missing.value());
  *out.mutable_retry_delay() = ToWire(refusal.retry_after);
  out.set_largest_fit_tokens(refusal.largest_fit.value());
  out.set_binding_term(refusal.binding_term);
  out.set_yield(refusal.yield);
  return out;
}

absl::StatusOr<Refusal> FromWire(const wire::Rejection& in) {
  Bounds bounds;
  Refusal refusal{
      .decision = OursOf(kDecisions, in.decision(), "decision", bounds),
      .reason = OursOf(kReasons, in.reason(), "reason", bounds),
      .needed = bounds.BlocksIn("needed_blocks", in.needed_blocks()),
      .missing = bounds.BlocksIn("missing_blocks", in.missing_blocks()),
      .retry_after = bounds.DurationIn("retry_delay", in.retry_delay(), kLongestDuration),
      .largest_fit = Tokens(bounds.CountIn("largest_fit_tokens", in.largest_fit_tokens())),
      .binding_term = bounds.TextIn("binding_term", in.binding_term(), 0, kMaxTextBytes),
      .yield = in.yield()};
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return refusal;
}

std::optional<LostReservation> LostBecause(const absl::Status& status, const std::string& id) {
  const bool stale = absl::IsFailedPrecondition(status);
  const bool no_room = absl::IsResourceExhausted(status);
  if (!stale && !no_room && !absl::IsNotFound(status)) return std::nullopt;
  return LostReservation{.id = id, .stale_epoch = stale, .no_room = no_room};
}

wire::LostReservation ToWire(const LostReservation& lost) {
  wire::LostReservation out;
  out.set_reservation_id(lost.id);
  out.set_cause(lost.stale_epoch ? wire::LOSS_CAUSE_STALE_EPOCH
                : lost.revoked   ? wire::LOSS_CAUSE_REVOKED
                : lost.no_room   ? wire::LOSS_CAUSE_NO_ROOM
                                 : wire::LOSS_CAUSE_NOT_FOUND);
  return out;
}

absl::StatusOr<Renewal> FromWire(const wire::RenewReservationsResponse& in, Instant now) {
  Renewal renewal;
  for (const wire::Reservation& each : in.reservations()) {
    absl::StatusOr<Reservation> reservation = FromWire(each, now);
    if (!reservation.ok()) return reservation.status();
    renewal.renewed.push_back(*std::move(reservation));
  }
  for (const wire::LostReservation& each : in.lost()) {
    const bool stale = each.cause() == wire::LOSS_CAUSE_STALE_EPOCH;
    const bool revoked = each.cause() == wire::LOSS_CAUSE_REVOKED;
    const bool no_room = each.cause() == wire::LOSS_CAUSE_NO_ROOM;
    if (!stale && !revoked && !no_room && each.cause() != wire::LOSS_CAUSE_NOT_FOUND) {
      return BadField("cause", int64_t{each.cause()}, "a value of this version");
    }
    renewal.lost.push_back({.id = each.reservation_id(),
                            .stale_epoch = stale,
                            .revoked = revoked,
                            .no_room = no_room});
  }
  return renewal;
}

wire::Capacity ToWire(const CapacityReport& report) {
  const AdmissionSnapshot& now = report.snapshot;
  wire::Capacity out;
  out.set_pool(report.pool);
  out.set_revision(now.revision);
  out.set_epoch(report.epoch);
  out.set_block_tokens(report.block_tokens.value());
  out.set_block_bytes(report.block_bytes.value());
  out.set_total_blocks(now.blocks.total.value());
  out.set_live_blocks(now.blocks.live.value());
  out.set_cached_blocks(now.blocks.cached.value());
  out.set_reserved_blocks(now.blocks.reserved.value());
  out.set_free_blocks(now.blocks.free.value());
  out.set_headroom_blocks(now.headroom.value());
  out.set_reservations(now.reservations);
  out.set_waiting(now.waiting);
  out.set_draining(now.draining);
  out.set_admitted_count(now.admitted);
  out.set_waited_count(now.waited);
  out.set_refused_wait_count(now.refused_wait);
  out.set_refused_never_count(now.refused_never);
  out.set_released_count(now.released);
  out.set_expired_count(now.expired);
  out.set_preempted_count(now.preempted);
  out.set_unfilled_slots(now.unfilled.value());
  return out;
}

absl::StatusOr<CapacityReport> FromWire(const wire::Capacity& in) {
  Bounds bounds;
  const BlockCounts blocks{.total = bounds.BlocksIn("total_blocks", in.total_blocks()),
                           .live = bounds.BlocksIn("live_blocks", in.live_blocks()),
                           .cached = bounds.BlocksIn("cached_blocks", in.cached_blocks()),
                           .reserved = bounds.BlocksIn("reserved_blocks", in.reserved_blocks()),
                           .free = bounds.BlocksIn("free_blocks", in.free_blocks())};
  const AdmissionSnapshot snapshot{
      .revision = bounds.CountIn("revision", in.revision()),
      .blocks = blocks,
      .unfilled = bounds.TokensIn("unfilled_slots", in.unfilled_slots(), 0),
      .headroom = bounds.BlocksIn("headroom_blocks", in.headroom_blocks()),
      .reservations = bounds.CountIn("reservations", in.reservations()),
      .waiting = bounds.CountIn("waiting", in.waiting()),
      .draining = in.draining(),
      .admitted = bounds.CountIn("admitted_count", in.admitted_count()),
      .waited = bounds.CountIn("waited_count", in.waited_count()),
      .refused_wait = bounds.CountIn("refused_wait_count", in.refused_wait_count()),
      .refused_never = bounds.CountIn("refused_never_count", in.refused_never_count()),
      .released = bounds.CountIn("released_count", in.released_count()),
      .expired = bounds.CountIn("expired_count", in.expired_count()),
      .preempted = bounds.CountIn("preempted_count", in.preempted_count())};
  CapacityReport report{.pool = in.pool(),
                        .epoch = in.epoch(),
                        .block_tokens = bounds.TokensIn("block_tokens", in.block_tokens(), 1),
                        .block_bytes = bounds.BytesIn("block_bytes", in.block_bytes()),
                        .snapshot = snapshot};
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return report;
}

}  // namespace plimsoll
