// What admission answers, and why: everything here reads and changes nothing.
#include <algorithm>
#include <limits>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kLongestName = 128;
constexpr Duration kShortestRetry = milliseconds(100);
constexpr Duration kLongestRetry = seconds(60);
constexpr Duration kRetryWhenUnknown = seconds(1);
constexpr Duration kRetryWhenDraining = seconds(5);
constexpr int kLeasesLookedAt = 32;  // keeps the estimate O(1)

absl::Status ValidateName(std::string_view field, const std::string& name) {
  if (name.size() <= kLongestName) return absl::OkStatus();
  return BadField(field, std::to_string(name.size()) + " bytes", "at most 128 bytes");
}

std::string Text(Duration t) {
  return std::to_string(std::chrono::duration_cast<milliseconds>(t).count()) + "ms";
}

absl::Status ValidateTokens(std::string_view field, Tokens n, int64_t least) {
  if (n.value() >= least && n.value() <= kMaxTokens) return absl::OkStatus();
  return BadField(field, n.value(), std::to_string(least) + " to " + std::to_string(kMaxTokens));
}

absl::Status ValidatePriority(int priority) {
  if (priority >= kLowestPriority && priority <= kHighestPriority) return absl::OkStatus();
  return BadField("priority", priority,
                  std::to_string(kLowestPriority) + " to " + std::to_string(kHighestPriority));
}

absl::Status ValidateTtl(Duration ttl, Duration most) {
  if (ttl >= Duration::zero() && ttl <= most) return absl::OkStatus();
  return BadField("ttl", Text(ttl), "0 (the default) to " + Text(most));
}

absl::Status ValidateHashes(const ReservationRequest& request, Tokens block_tokens) {
  const int64_t full_blocks = request.prompt_tokens / block_tokens;
  const int64_t hashes = std::ssize(request.prefix_hashes);
  if (hashes <= full_blocks) return absl::OkStatus();
  return BadField("prefix_hashes", std::to_string(hashes) + " hashes",
                  "at most one for each full block of " + std::to_string(block_tokens.value()) +
                      " prompt tokens, " + std::to_string(full_blocks));
}

// The mixing step of splitmix64 (Steele, Lea, Flood 2014).
uint64_t Mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// More than any pool or context holds where the sum would overflow.
Tokens TotalOf(const ReservationRequest& request) {
  return Tokens(CheckedAdd(request.prompt_tokens.value(), request.max_new_tokens.value())
                    .value_or(std::numeric_limits<int64_t>::max()));
}

// Blocks for four steps of all that grow: with less, who comes back would only stop again.
Blocks SlackFor(int64_t growing, Tokens block_tokens) {
  return BlocksCovering(Tokens(4 * growing), block_tokens);
}

}  // namespace

Demand DemandOf(const ReservationRequest& request) {
  return {
      .tenant = request.tenant, .prompt = request.prompt_tokens, .max_new = request.max_new_tokens};
}

absl::Status AdmissionController::State::Validate(const ReservationRequest& request) const {
  PLIMSOLL_RETURN_IF_ERROR(ValidateForm(request));
  return ValidateOffered(request);
}

absl::Status AdmissionController::State::ValidateForm(const ReservationRequest& request) const {
  PLIMSOLL_RETURN_IF_ERROR(ValidateName("request_id", request.request_id));
  PLIMSOLL_RETURN_IF_ERROR(ValidateName("tenant", request.tenant));
  PLIMSOLL_RETURN_IF_ERROR(ValidateTokens("prompt_tokens", request.prompt_tokens, 1));
  PLIMSOLL_RETURN_IF_ERROR(ValidateTokens("max_new_tokens", request.max_new_tokens, 0));
  PLIMSOLL_RETURN_IF_ERROR(ValidatePriority(request.priority));
  PLIMSOLL_RETURN_IF_ERROR(ValidateName("resumes", request.resumes));
  return ValidateHashes(request, cache.block_tokens());
}

absl::Status AdmissionController::State::ValidateNew(const ReservationRequest& request) const {
  const RequestClass* const its = policies.Find(request.request_class);
  if (its == nullptr || !its->offered()) {
    return BadField("request_class", Excerpt(request.request_class), policies.Known());
  }
  return ValidateTtl(request.ttl, options.max_ttl);
}

absl::Status AdmissionController::State::ValidateOffered(const ReservationRequest& request) const {
  absl::Status status = ValidateNew(request);
  if (status.ok() || request.request_id.empty()) return status;
  const bool repeats = book.FindRequest(request) != nullptr ||
                       queue.FindRequest(request.tenant, request.request_id).has_value();
  return repeats ? absl::OkStatus() : status;
}

Prompt AdmissionController::State::PromptOf(const ReservationRequest& request) const {
  const BlockNames names = BlockNames::OfHashes(request.prefix_hashes);
  if (!options.last_token_is_computed) return {.salt = request.tenant, .names = names};
  const int64_t before_last = (request.prompt_tokens - Tokens(1)) / cache.block_tokens();
  return {.salt = request.tenant, .names = names.Subrange(0, std::min(names.size(), before_last))};
}

PrefixFound AdmissionController::State::FindPrefix(const ReservationRequest& request) const {
  if (request.prefix_hashes.empty()) return {};
  return cache.Find(PromptOf(request));
}

const ReservationRecord* AdmissionController::State::FindResumed(
    const ReservationRequest& request) const {
  if (request.resumes.empty()) return nullptr;
  const absl::StatusOr<int64_t> number = ParseReservationId(request.resumes, options.epoch);
  const ReservationRecord* const record = number.ok() ? book.Find(*number) : nullptr;
  if (record == nullptr || record->request.tenant != request.tenant) return nullptr;
  return record->gave_up ? record : nullptr;
}

std::optional<int64_t> AdmissionController::State::SeniorityOf(
    const ReservationRequest& request) const {
  const ReservationRecord* const resumed = FindResumed(request);
  return resumed == nullptr ? std::nullopt : std::optional(resumed->seniority);
}

AdmissionView AdmissionController::State::ViewFor(const std::string& tenant,
                                                  int64_t seniority) const {
  const TenantRoom room = tenants.RoomOf(tenant);
  const Blocks free = cache.available() - room.kept_for_others;
  const Blocks borrowed = free - room.own;
  return {.total = cache.counts().total,
          .most_ever = room.most_ever,
          .free = room.own + borrowed - std::min(borrowed, stalled.OwedBefore(seniority)),
          .own = room.own,
          .left = room.left,
          .block_tokens = cache.block_tokens(),
          .max_context = options.max_context,
          .draining = draining,
          .learning = learning_until.has_value()};
}

AdmissionView AdmissionController::State::ViewForHolder(const std::string& tenant,
                                                        int64_t seniority) const {
  AdmissionView view = ViewFor(tenant, seniority);
  view.draining = view.learning = false;
  return view;
}

// One that was let start with less than the whole ends only if it gets what was in sight then.
AdmissionView AdmissionController::State::ViewForHolder(const ReservationRecord& record) const {
  AdmissionView view = ViewForHolder(record.request.tenant, record.seniority);
  if (record.number < first_since_quotas && !record.its_class->promises_whole()) {
    const TenantRoom room = tenants.RoomOf(record.request.tenant);
    view.left = room.holders_left;
    view.most_ever = room.holders_most_ever;
  }
  return view;
}

Verdict AdmissionController::State::Decide(const ReservationRequest& request,
                                           const Ahead& ahead) const {
  AdmissionView view = ViewFor(request.tenant, kNoSeniority);
  const PrefixFound found = FindPrefix(request);
  view.shared = found.blocks - found.cached;
  view.ahead = ahead;
  Verdict verdict = DecideEver(view, TotalOf(request));
  if (verdict.decision == Decision::kNever) return verdict;
  const bool in_own = FitsInOwn(view, verdict.needed);
  const RequestClass& its = *policies.Find(request.request_class);
  verdict.needed = its.policy().AtStart(DemandOf(request));
  const bool allowed = suspended == 0 && MayStart(request, its, view.free + view.shared);
  DecideNow(view, in_own, allowed, verdict);
  return verdict;
}

bool AdmissionController::State::MayStart(const ReservationRequest& request,
                                          const RequestClass& its, Blocks free) const {
  if (its.promises_whole()) return true;
  if (SeniorityOf(request)) return MayComeBack(DemandOf(request), its, free);
  return its.policy().MayStart(DemandOf(request), free);
}

bool AdmissionController::State::MayComeBack(const Demand& demand, const RequestClass& its,
                                             Blocks free) const {
  if (!its.policy().MayStart(demand, free)) return false;
  const int64_t growing = policies.growing();
  if (growing == 0) return true;
  return its.policy().AtStart(demand) + SlackFor(growing, cache.block_tokens()) <= free;
}

Verdict AdmissionController::State::DecideNewcomer(const ReservationRequest& request,
                                                   Instant now) const {
  if (queue.size() == 0) return Decide(request, {});
  return Decide(request, queue.AheadOf(request, SeniorityOf(request),
                                       tenants.RoomOf(request.tenant).purse, now));
}

// The reservation's own blocks are shared with what it will be, and nobody is ahead of it: a holder
// can give room back only by finishing. It may grow while the server drains, for the same reason;
// not while the ledger learns, when what looks free may be another's who has not claimed it yet.
Verdict AdmissionController::State::DecideExtension(const ReservationRecord& record,
                                                    Tokens total) const {
  AdmissionView view = ViewForHolder(record);
  view.learning = learning_until.has_value();
  view.shared = record.terms.blocks;
  return DecideNeverEvict(view, total);
}

// Its holder has it, so it waits for nobody and for no policy.
Verdict AdmissionController::State::DecideClaim(const ReservationRequest& request) const {
  const AdmissionView view = ViewForHolder(request.tenant, kNoSeniority);
  Verdict verdict = DecideEver(view, TotalOf(request));
  if (verdict.decision == Decision::kNever) return verdict;
  const bool in_own = FitsInOwn(view, verdict.needed);
  verdict.needed = policies.Find(request.request_class)->policy().AtStart(DemandOf(request));
  DecideNow(view, in_own, /*allowed=*/true, verdict);
  return verdict;
}

// Only want of blocks is an overflow, not a tenant's maximum. What its tenant has of its own is not
// owed by anybody.
Refusal AdmissionController::State::RefuseExtension(ReservationRecord& record,
                                                    const Verdict& verdict, Instant now) {
  Refusal refusal = Refuse(record.request.tenant, verdict, now);
  if (verdict.reason != Reason::kNoFreeBlocks || record.its_class->promises_whole()) return refusal;
  record.its_class->Overflow();
  refusal.yield = stalled.OwedBefore(record.seniority) > Blocks(0);
  const Blocks own = tenants.RoomOf(record.request.tenant).own;
  const Blocks lacks = verdict.needed - record.terms.blocks;
  stalled.Refused(record.number, record.seniority, lacks - std::min(lacks, own), now);
  return refusal;
}

Refusal AdmissionController::State::Refuse(const std::string& tenant, const Verdict& verdict,
                                           Instant now) const {
  const bool wait = verdict.decision == Decision::kWait;
  return {.decision = verdict.decision,
          .reason = verdict.reason,
          .needed = verdict.needed,
          .missing = verdict.missing,
          .retry_after = wait ? SpreadOut(RetryAfter(tenant, verdict, now), now) : Duration::zero(),
          .largest_fit = verdict.largest_fit,
          .binding_term = std::string(verdict.binding_term)};
}

// By the rate at which blocks came back lately; while that says nothing, by the leases that end
// first; but no later than by what holders may still generate. A tenant at its maximum waits for
// its own, which only the last of these can tell.
Duration AdmissionController::State::RetryAfter(const std::string& tenant, const Verdict& verdict,
                                                Instant now) const {
  if (verdict.reason == Reason::kDraining) return kRetryWhenDraining;
  if (verdict.reason == Reason::kLearning) return std::max(*learning_until - now, kShortestRetry);
  const bool own = verdict.reason == Reason::kTenantQuota;
  const auto bound = remaining.TimeFor(verdict.missing, now, [&](int64_t number) {
    const ReservationRecord& record = *book.Find(number);
    return own && record.request.tenant != tenant ? Blocks(0) : record.terms.blocks;
  });
  const std::optional<Duration> rate = returns.TimeFor(verdict.missing, now);
  Duration estimate = rate ? *rate : TimeOfLeases(verdict.missing, now);
  if (bound) estimate = own ? *bound : std::min(estimate, *bound);
  return std::clamp(estimate, kShortestRetry, kLongestRetry);
}

// A generator without a state of its own, so that a question changes nothing: two refusals differ
// in how many there were before, or in their time.
Duration AdmissionController::State::SpreadOut(Duration estimate, Instant now) const {
  if (options.retry_seed == 0) return estimate;
  const auto told = static_cast<uint64_t>(counters.refused_wait);
  const auto when = static_cast<uint64_t>(now.time_since_epoch().count());
  const uint64_t drawn = Mixed(options.retry_seed ^ Mixed(told ^ Mixed(when)));
  constexpr int kBits = 20;
  return estimate + estimate / (int64_t{2} << kBits) * static_cast<int64_t>(drawn >> (64 - kBits));
}

Duration AdmissionController::State::TimeOfLeases(Blocks missing, Instant now) const {
  Duration estimate = kRetryWhenUnknown;
  Blocks coming;
  int looked_at = 0;
  for (const auto& [when, number] : leases) {
    estimate = when - now;
    coming += book.Find(number)->terms.blocks;
    if (coming >= missing || ++looked_at == kLeasesLookedAt) break;
  }
  return estimate;
}

Terms AdmissionController::State::Draft(const ReservationRequest& request, Blocks blocks,
                                        Instant now) const {
  const Duration asked = request.ttl == Duration::zero() ? options.default_ttl : request.ttl;
  const Duration ttl = std::min(asked, options.max_ttl);
  const bool confirmed = options.confirm_window == Duration::zero();
  const Duration lease = confirmed ? ttl : std::min(ttl, options.confirm_window);
  return {.prompt_tokens = request.prompt_tokens,
          .max_new_tokens = request.max_new_tokens,
          .blocks = blocks,
          .prefix_blocks = FindPrefix(request).blocks,
          .ttl = ttl,
          .expires = now + lease,
          .expire_time = WallAt(now) + lease,
          .confirmed = confirmed};
}

Reservation AdmissionController::State::Show(const Terms& terms, const std::string& tenant) const {
  return {.id = {},
          .epoch = options.epoch,
          .tenant = tenant,
          .prompt_tokens = terms.prompt_tokens,
          .max_new_tokens = terms.max_new_tokens,
          .blocks = terms.blocks,
          .prefix_blocks = terms.prefix_blocks,
          .ttl = terms.ttl,
          .expires = terms.expires,
          .expire_time = terms.expire_time,
          .confirmed = terms.confirmed,
          .claimed_id = terms.claimed_id};
}

}  // namespace plimsoll
