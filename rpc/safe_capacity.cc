#include "rpc/safe_capacity.h"

#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

// A lease that means nothing: whoever was granted it is the one who keeps it.
constexpr Duration kNoLease = std::chrono::hours(24);

}  // namespace

std::optional<Reservation> SafeCapacity::Reserve(const ReservationRequest& request, Instant now) {
  const Blocks blocks =
      BlocksForSequence(request.prompt_tokens + request.max_new_tokens, options_.block_tokens);
  if (std::ssize(held_) >= options_.requests || used_ + blocks > options_.blocks) {
    return std::nullopt;
  }
  used_ += blocks;
  const Reservation given{.id = std::string(kEpoch) + "-" + std::to_string(++last_),
                          .epoch = std::string(kEpoch),
                          .tenant = request.tenant,
                          .prompt_tokens = request.prompt_tokens,
                          .max_new_tokens = request.max_new_tokens,
                          .blocks = blocks,
                          .ttl = kNoLease,
                          .expires = now + kNoLease,
                          .expire_time = SystemClock().WallNow() + kNoLease,
                          .confirmed = true};
  return held_.emplace(given.id, given).first->second;
}

std::optional<Reservation> SafeCapacity::Extend(const std::string& id, Tokens total, Instant now) {
  const auto found = held_.find(id);
  if (found == held_.end()) return std::nullopt;
  Reservation& reservation = found->second;
  reservation.expires = now + kNoLease;
  if (total <= reservation.prompt_tokens + reservation.max_new_tokens) return reservation;
  const Blocks more = BlocksForSequence(total, options_.block_tokens) - reservation.blocks;
  if (used_ + more > options_.blocks) return std::nullopt;
  used_ += more;
  reservation.blocks += more;
  reservation.max_new_tokens = total - reservation.prompt_tokens;
  return reservation;
}

void SafeCapacity::Release(const std::string& id) {
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  used_ -= found->second.blocks;
  held_.erase(found);
}

std::string SafeCapacity::Limits() const {
  return std::to_string(held_.size()) + " of " + std::to_string(options_.requests) +
         " requests and " + std::to_string(used_.value()) + " of " +
         std::to_string(options_.blocks.value()) + " blocks are in use";
}

}  // namespace plimsoll
