#include "kvcache/c/answers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kvcache/c/boundary.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll::c_interface {

absl::StatusOr<Tokens> TokensFrom(std::string_view field, int64_t n, int64_t least) {
  if (n >= least && n <= kMaxTokens) return Tokens(n);
  return BadField(field, n, std::to_string(least) + " to " + std::to_string(kMaxTokens));
}

// Nine years stand for ever: sums of a few of them and the time of day do not overflow.
absl::StatusOr<Duration> DurationFrom(std::string_view field, int64_t ns) {
  if (ns >= 0) return Duration(std::min(ns, int64_t{1} << 58));
  return BadField(field, ns, "0 or more nanoseconds");
}

absl::StatusOr<ReservationRequest> RequestFrom(const plimsoll_request* request) {
  const absl::StatusOr<plimsoll_request> in = In("request", request);
  if (!in.ok()) return in.status();
  const absl::StatusOr<Tokens> prompt = TokensFrom("prompt_tokens", in->prompt_tokens, 1);
  if (!prompt.ok()) return prompt.status();
  const absl::StatusOr<Tokens> max_new = TokensFrom("max_new_tokens", in->max_new_tokens, 0);
  if (!max_new.ok()) return max_new.status();
  const absl::StatusOr<Duration> ttl = DurationFrom("ttl_ns", in->ttl_ns);
  if (!ttl.ok()) return ttl.status();
  ReservationRequest out{.request_id = TextOf(in->request_id),
                         .tenant = TextOf(in->tenant),
                         .prompt_tokens = *prompt,
                         .max_new_tokens = *max_new,
                         .ttl = *ttl,
                         .priority = in->priority,
                         .request_class = TextOf(in->request_class),
                         .resumes = TextOf(in->resumes)};
  if (in->prefix_hash_count > 0) {
    if (in->prefix_hashes == nullptr) return NullArgument("prefix_hashes");
    if (in->prefix_hash_count > static_cast<size_t>(prompt->value())) {
      return BadField("prefix_hash_count", std::to_string(in->prefix_hash_count),
                      "at most one for each prompt token");
    }
    out.prefix_hashes.assign(in->prefix_hashes, in->prefix_hashes + in->prefix_hash_count);
  }
  return out;
}

plimsoll_answer AnswerOf(const Reservation& reservation, Instant now) {
  plimsoll_answer out{};
  out.decision = PLIMSOLL_ADMITTED;
  CopyText(reservation.id, out.reservation_id);
  out.prompt_tokens = reservation.prompt_tokens.value();
  out.max_new_tokens = reservation.max_new_tokens.value();
  out.blocks = reservation.blocks.value();
  out.prefix_blocks = reservation.prefix_blocks.value();
  out.ttl_ns = reservation.ttl.count();
  out.remaining_ns = std::max(reservation.expires - now, Duration::zero()).count();
  out.confirmed = reservation.confirmed ? 1 : 0;
  return out;
}

plimsoll_answer AnswerOf(const Answer& answer, Instant now) {
  if (const auto* const reservation = std::get_if<Reservation>(&answer)) {
    return AnswerOf(*reservation, now);
  }
  const Refusal& refusal = std::get<Refusal>(answer);
  plimsoll_answer out{};
  out.decision = static_cast<int32_t>(refusal.decision);
  out.reason = static_cast<int32_t>(refusal.reason);
  out.needed_blocks = refusal.needed.value();
  out.missing_blocks = refusal.missing.value();
  out.retry_after_ns = refusal.retry_after.count();
  out.largest_fit_tokens = refusal.largest_fit.value();
  CopyText(refusal.binding_term, out.binding_term);
  out.yield = refusal.yield ? 1 : 0;
  return out;
}

// The numbers are the same on both sides, and of every version.
static_assert(static_cast<int32_t>(Decision::kAdmitted) == PLIMSOLL_ADMITTED &&
              static_cast<int32_t>(Decision::kWait) == PLIMSOLL_WAIT &&
              static_cast<int32_t>(Decision::kNever) == PLIMSOLL_NEVER);
static_assert(static_cast<int32_t>(Reason::kNoFreeBlocks) == PLIMSOLL_NO_FREE_BLOCKS &&
              static_cast<int32_t>(Reason::kTenantQuota) == PLIMSOLL_TENANT_QUOTA &&
              static_cast<int32_t>(Reason::kWaitTimeout) == PLIMSOLL_WAIT_TIMEOUT &&
              static_cast<int32_t>(Reason::kDraining) == PLIMSOLL_DRAINING &&
              static_cast<int32_t>(Reason::kLearning) == PLIMSOLL_LEARNING &&
              static_cast<int32_t>(Reason::kNeverFits) == PLIMSOLL_NEVER_FITS &&
              static_cast<int32_t>(Reason::kTenantLimit) == PLIMSOLL_TENANT_LIMIT);

}  // namespace plimsoll::c_interface
