#include "kvcache/admission/admission_controller.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "kvcache/admission/admission_state.h"
#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr Duration kLongestTtl = std::chrono::hours(24 * 3650);  // added to now, stays in range
constexpr Duration kLongestStep = std::chrono::hours(24);
constexpr int64_t kMaxWaitingHashes = 1 << 20;  // 8 MiB, in the requests of those who wait

absl::Status ValidateOptions(const AdmissionOptions& options) {
  const bool plain = std::all_of(options.epoch.begin(), options.epoch.end(),
                                 [](char c) { return c > ' ' && c <= '~' && c != '-'; });
  if (options.epoch.empty() || options.epoch.size() > 64 || !plain) {
    return BadField("epoch", options.epoch, "1 to 64 printable characters, no space or '-'");
  }
  if (options.max_ttl <= Duration::zero() || options.max_ttl > kLongestTtl) {
    return BadField("max_ttl", options.max_ttl.count(), "more than 0 ns, up to ten years");
  }
  if (options.default_ttl <= Duration::zero() || options.default_ttl > options.max_ttl) {
    return BadField("default_ttl", options.default_ttl.count(), "more than 0 ns, up to max_ttl");
  }
  if (options.confirm_window < Duration::zero()) {
    return BadField("confirm_window", options.confirm_window.count(), "0 ns or more");
  }
  if (options.max_context < Tokens(1)) {
    return BadField("max_context", options.max_context.value(), "at least 1");
  }
  if (options.priority_step <= Duration::zero() || options.priority_step > kLongestStep) {
    return BadField("priority_step", options.priority_step.count(), "more than 0 ns, up to a day");
  }
  if (options.max_waiting < 0) return BadField("max_waiting", options.max_waiting, "0 or more");
  return absl::OkStatus();
}

}  // namespace

AdmissionController::State::State(const AdmissionOptions& options_given, KvCache& cache_given,
                                  const Clock& clock_given, TenantBook tenants_given,
                                  PolicySet policies_given)
    : options(options_given),
      cache(cache_given),
      clock(clock_given),
      book(options_given.idempotency_bytes),
      tenants(std::move(tenants_given)),
      queue(options_given.priority_step, tenants.purses()),
      policies(std::move(policies_given)),
      returns(clock_given.Now()),
      remaining(clock_given.Now()),
      started(clock_given.Now()),
      wall_read_at(started),
      wall(clock_given.WallNow()) {
  if (options.learning == Learning::kAlways) learning_until = started + options.default_ttl;
}

absl::StatusOr<std::unique_ptr<AdmissionController>> AdmissionController::Create(
    const AdmissionOptions& options, KvCache& cache, const Clock& clock) {
  PLIMSOLL_RETURN_IF_ERROR(ValidateOptions(options));
  auto policies = PolicySet::Create(options.policy, options.classes, cache.counts().total,
                                    cache.block_tokens());
  if (!policies.ok()) return policies.status();
  auto tenants = TenantBook::Create(options.quotas, cache.counts().total);
  if (!tenants.ok()) return tenants.status();
  return std::unique_ptr<AdmissionController>(new AdmissionController(
      std::make_unique<State>(options, cache, clock, *std::move(tenants), *std::move(policies))));
}

AdmissionController::AdmissionController(std::unique_ptr<State> state) : state_(std::move(state)) {
  state_->Publish();
}

AdmissionController::~AdmissionController() = default;

absl::Status AdmissionController::Validate(const ReservationRequest& request) const {
  PLIMSOLL_RETURN_IF_ERROR(state_->Validate(request));
  return state_->FindRepeat(request, state_->clock.Now()).status();
}

Answer AdmissionController::CanAdmit(const ReservationRequest& request) const {
  const Instant now = state_->clock.Now();
  const auto repeat = state_->FindRepeat(request, now);
  if (repeat.ok() && repeat->has_value()) {  // its class may be gone
    return state_->Show(state_->Draft(request, (*repeat)->blocks, now), request.tenant);
  }
  const Verdict verdict = state_->DecideNewcomer(request, now);
  if (verdict.decision == Decision::kAdmitted) {
    return state_->Show(state_->Draft(request, verdict.needed, now), request.tenant);
  }
  return state_->Refuse(request.tenant, verdict, now);
}

absl::StatusOr<Answer> AdmissionController::Reserve(const ReservationRequest& request,
                                                    LeaseKeeper* keeper) {
  PLIMSOLL_RETURN_IF_ERROR(state_->Validate(request));
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  absl::StatusOr<Answer> answer = state_->AnswerNow(request, now, keeper);
  if (answer.ok() && std::holds_alternative<Refusal>(*answer)) {
    state_->CountRefusal(request, std::get<Refusal>(*answer));
  }
  state_->Settle(now);
  return answer;
}

absl::StatusOr<std::optional<int64_t>> AdmissionController::ReserveOrWait(
    const ReservationRequest& request, Duration max_wait, AnswerCallback done,
    LeaseKeeper* keeper) {
  PLIMSOLL_RETURN_IF_ERROR(state_->Validate(request));
  if (max_wait < Duration::zero()) return BadField("max_wait", max_wait.count(), "0 ns or more");
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  const absl::StatusOr<Answer> answer = state_->AnswerNow(request, now, keeper);
  if (!answer.ok()) return answer.status();
  const Refusal* const refusal = std::get_if<Refusal>(&*answer);
  const bool can_wait = refusal != nullptr && refusal->decision == Decision::kWait &&
                        refusal->reason != Reason::kDraining;
  if (!can_wait || max_wait == Duration::zero()) {
    if (refusal != nullptr) state_->CountRefusal(request, *refusal);
    state_->Settle(now);
    done(*answer);
    return std::nullopt;
  }
  if (state_->queue.size() >= state_->options.max_waiting) {
    return absl::ResourceExhaustedError(
        "the queue is full: " + std::to_string(state_->queue.size()) + " callers wait");
  }
  if (const int64_t hashes = state_->queue.prefix_hashes() + std::ssize(request.prefix_hashes);
      hashes > kMaxWaitingHashes) {
    return absl::ResourceExhaustedError("the queue is full: with this caller " +
                                        std::to_string(hashes) + " prefix hashes wait, of " +
                                        std::to_string(kMaxWaitingHashes));
  }
  const Duration longest = Instant::max() - now;
  const int64_t ticket = state_->Wait({.request = request,
                                       .needed = refusal->needed,
                                       .deadline = now + std::min(max_wait, longest),
                                       .done = std::move(done),
                                       .keeper = keeper},
                                      now);
  state_->Settle(now);
  return ticket;
}

void AdmissionController::CancelWait(int64_t ticket) {
  const Instant now = state_->clock.Now();
  if (const auto waiter = state_->queue.Remove(ticket)) state_->NoteLeft(*waiter);
  state_->EndWhatIsOver(now);
  state_->Settle(now);
}

void AdmissionController::Advance() {
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  state_->Settle(now);
}

std::optional<Instant> AdmissionController::NextDeadline() const {
  const auto lease = state_->leases.Earliest();
  const auto wait = state_->queue.EarliestDeadline();
  std::optional<Instant> next = state_->queue.EarliestPromotion();
  if (lease && (!next || lease->first < *next)) next = lease->first;
  if (wait && (!next || wait->first < *next)) next = wait->first;
  const auto lapse = state_->stalled.EarliestLapse();
  if (lapse && (!next || lapse->first < *next)) next = lapse->first;
  const std::optional<Instant>& learned = state_->learning_until;
  if (learned && (!next || *learned < *next)) next = learned;
  return next;
}

void AdmissionController::SetDraining(bool draining) {
  const Instant now = state_->clock.Now();
  state_->EndWhatIsOver(now);
  state_->draining = draining;
  while (draining && state_->queue.size() > 0) {
    state_->TurnAway(state_->queue.Serve(*state_->queue.Anyone()), Reason::kDraining, now);
  }
  state_->Settle(now);
}

const KvCache& AdmissionController::cache() const { return state_->cache; }
KvCache& AdmissionController::cache() { return state_->cache; }
const AdmissionOptions& AdmissionController::options() const { return state_->options; }
const SnapshotPublisher& AdmissionController::published() const { return state_->published; }
const AdmissionTally& AdmissionController::tally() const { return state_->tally; }
std::optional<Instant> AdmissionController::OldestWait() const {
  return state_->queue.OldestArrival();
}
void AdmissionController::CheckInvariants() const { state_->CheckInvariants(); }

AdmissionSnapshot AdmissionController::Snapshot() const {
  state_->Publish();
  return state_->last;
}

std::string RandomEpoch() {
  std::array<unsigned char, 8> bytes{};
  PLIMSOLL_CHECK(getentropy(bytes.data(), bytes.size()) == 0, errno);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string epoch;
  for (const unsigned char byte : bytes) {
    epoch += kDigits[byte / 16];
    epoch += kDigits[byte % 16];
  }
  epoch.pop_back();
  return epoch;
}

}  // namespace plimsoll
