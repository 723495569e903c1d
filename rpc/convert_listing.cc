#include "rpc/convert_listing.h"

#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "kvcache/base/errors.h"
#include "rpc/convert.h"

namespace plimsoll {
namespace {

constexpr std::array<std::pair<HoldingState, v1::ReservationState>, 5> kStates = {{
    {HoldingState::kUnconfirmed, v1::RESERVATION_STATE_UNCONFIRMED},
    {HoldingState::kHeld, v1::RESERVATION_STATE_HELD},
    {HoldingState::kRunning, v1::RESERVATION_STATE_RUNNING},
    {HoldingState::kSuspended, v1::RESERVATION_STATE_SUSPENDED},
    {HoldingState::kStopping, v1::RESERVATION_STATE_STOPPING},
}};
constexpr Duration kLongestAge = std::chrono::hours(24 * 365 * 100);
constexpr size_t kMostTokenBytes = 64;

v1::ReservationState WireOf(HoldingState state) {
  return kStates[static_cast<size_t>(state)].second;
}

std::optional<HoldingState> StateFrom(v1::ReservationState state, Bounds& bounds) {
  for (const auto& [ours, theirs] : kStates) {
    if (theirs == state) return ours;
  }
  if (state != v1::RESERVATION_STATE_UNSPECIFIED) {
    bounds.Fail(BadField("state", int64_t{state}, "a value of this version"));
  }
  return std::nullopt;
}

// FNV-1a: tells questions apart, keeps nobody out.
uint64_t HashOf(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

absl::StatusOr<Holding> FromWire(const v1::HeldReservation& in) {
  Bounds bounds;
  const std::optional<HoldingState> state = StateFrom(in.state(), bounds);
  if (!state) bounds.Fail(BadField("state", int64_t{in.state()}, "a state"));
  Holding holding{.id = bounds.TextIn("reservation_id", in.reservation_id(), 1, kMaxTextBytes),
                  .tenant = bounds.TextIn("tenant", in.tenant(), 0, kMaxTextBytes),
                  .state = state.value_or(HoldingState::kHeld),
                  .age = bounds.DurationIn("age", in.age(), kLongestAge),
                  .remaining = std::nullopt,
                  .prompt_tokens = bounds.TokensIn("prompt_tokens", in.prompt_tokens(), 1),
                  .max_new_tokens = bounds.TokensIn("max_new_tokens", in.max_new_tokens(), 0),
                  .blocks = bounds.BlocksIn("blocks", in.blocks()),
                  .used = bounds.BlocksIn("used_blocks", in.used_blocks()),
                  .may_stop = in.may_be_stopped()};
  if (in.has_remaining()) {
    holding.remaining = bounds.DurationIn("remaining", in.remaining(), kLongestAge);
  }
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return holding;
}

absl::StatusOr<TenantUse> FromWire(const v1::TenantUsage& in) {
  Bounds bounds;
  TenantQuota quota{.guaranteed = bounds.BlocksIn("guaranteed_blocks", in.guaranteed_blocks())};
  if (in.has_most_blocks()) quota.most = bounds.BlocksIn("most_blocks", in.most_blocks());
  TenantUse use{.tenant = bounds.TextIn("tenant", in.tenant(), 0, kMaxTextBytes),
                .quota = quota,
                .blocks = bounds.BlocksIn("blocks", in.blocks()),
                .reservations = bounds.CountIn("reservations", in.reservations()),
                .waiting = bounds.CountIn("waiting", in.waiting()),
                .admitted = bounds.CountIn("admitted_count", in.admitted_count()),
                .waited = bounds.CountIn("waited_count", in.waited_count()),
                .refused_wait = bounds.CountIn("refused_wait_count", in.refused_wait_count()),
                .refused_never = bounds.CountIn("refused_never_count", in.refused_never_count()),
                .released = bounds.CountIn("released_count", in.released_count()),
                .expired = bounds.CountIn("expired_count", in.expired_count())};
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return use;
}

}  // namespace

int64_t PageSizeIn(Bounds& bounds, int32_t page_size) {
  const int64_t size = bounds.NumberIn("page_size", page_size, 0, kMostOnPage);
  return size == 0 ? kUsuallyOnPage : size;
}

v1::ListReservationsRequest ToWire(const PageWanted& page, const HoldingFilter& filter) {
  v1::ListReservationsRequest out;
  out.set_page_size(static_cast<int32_t>(page.size));
  out.set_page_token(page.token);
  if (filter.tenant) out.set_tenant(*filter.tenant);
  if (filter.state) out.set_state(WireOf(*filter.state));
  return out;
}

absl::StatusOr<HoldingFilter> FilterFrom(const v1::ListReservationsRequest& in) {
  Bounds bounds;
  HoldingFilter filter;
  if (in.has_tenant()) filter.tenant = bounds.TextIn("tenant", in.tenant(), 0, kMaxTextBytes);
  filter.state = StateFrom(in.state(), bounds);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return filter;
}

std::string QuestionOf(const HoldingFilter& filter, const std::string& epoch) {
  const std::string state = filter.state ? std::string(NameOf(*filter.state)) : "";
  return epoch + "\n" + state + "\n" + (filter.tenant ? "of " + *filter.tenant : "");
}

std::string PageTokenOf(int64_t after, const std::string& question) {
  return absl::StrFormat("%x-%016x", after, HashOf(question));
}

absl::StatusOr<int64_t> PageTokenFrom(const std::string& token, const std::string& question) {
  if (token.empty()) return 0;
  int64_t after = 0;
  const char* const end = token.data() + token.size();
  const auto read = std::from_chars(token.data(), end, after, 16);
  const bool whole = token.size() <= kMostTokenBytes && read.ec == std::errc() && after >= 0;
  if (whole && PageTokenOf(after, question) == token) return after;
  return BadField("page_token", Excerpt(token),
                  "the next_page_token of the same question to this server life");
}

std::string TenantTokenOf(const std::string& name) { return "t" + absl::BytesToHexString(name); }

absl::StatusOr<std::string> TenantTokenFrom(const std::string& token) {
  const std::string name = token.empty() ? "" : absl::HexStringToBytes(token.substr(1));
  if (token.empty() || TenantTokenOf(name) == token) return name;
  return BadField("page_token", Excerpt(token), "the next_page_token of the page before");
}

v1::HeldReservation ToWire(const Holding& holding) {
  v1::HeldReservation out;
  out.set_reservation_id(holding.id);
  out.set_tenant(holding.tenant);
  out.set_state(WireOf(holding.state));
  *out.mutable_age() = ToWire(holding.age);
  if (holding.remaining) *out.mutable_remaining() = ToWire(*holding.remaining);
  out.set_prompt_tokens(holding.prompt_tokens.value());
  out.set_max_new_tokens(holding.max_new_tokens.value());
  out.set_blocks(holding.blocks.value());
  out.set_used_blocks(holding.used.value());
  out.set_may_be_stopped(holding.may_stop);
  return out;
}

absl::StatusOr<ReservationPage> FromWire(const v1::ListReservationsResponse& in) {
  ReservationPage page;
  for (const v1::HeldReservation& each : in.reservations()) {
    absl::StatusOr<Holding> holding = FromWire(each);
    if (!holding.ok()) return holding.status();
    page.reservations.push_back(*std::move(holding));
  }
  page.next_token = in.next_page_token();
  return page;
}

v1::TenantUsage ToWire(const TenantUse& use) {
  v1::TenantUsage out;
  out.set_tenant(use.tenant);
  out.set_guaranteed_blocks(use.quota.guaranteed.value());
  if (use.quota.most != TenantQuota().most) out.set_most_blocks(use.quota.most.value());
  out.set_blocks(use.blocks.value());
  out.set_reservations(use.reservations);
  out.set_waiting(use.waiting);
  out.set_admitted_count(use.admitted);
  out.set_waited_count(use.waited);
  out.set_refused_wait_count(use.refused_wait);
  out.set_refused_never_count(use.refused_never);
  out.set_released_count(use.released);
  out.set_expired_count(use.expired);
  return out;
}

absl::StatusOr<TenantPage> FromWire(const v1::ListTenantsResponse& in) {
  TenantPage page;
  for (const v1::TenantUsage& each : in.tenants()) {
    absl::StatusOr<TenantUse> use = FromWire(each);
    if (!use.ok()) return use.status();
    page.tenants.push_back(*std::move(use));
    page.departed = each.departed();
  }
  page.next_token = in.next_page_token();
  return page;
}

}  // namespace plimsoll
