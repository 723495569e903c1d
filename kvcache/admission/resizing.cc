// A pool that grows or shrinks under its holders.
#include <algorithm>
#include <string>

#include "kvcache/admission/admission_state.h"
#include "kvcache/base/errors.h"

namespace plimsoll {

// Who is promised the whole has it among what is reserved. Who is not still has to have all of it
// where nobody else runs.
Blocks AdmissionController::State::LeastTotal() const {
  const BlockCounts counts = cache.counts();
  Blocks least =
      std::max({Blocks(1), counts.live + counts.reserved + tenants.kept(), tenants.guaranteed()});
  if (policies.all_promise_whole()) return least;
  book.SeeAll([&](const ReservationRecord& record) {
    if (record.ended || record.its_class->promises_whole()) return;
    const Tokens most = record.terms.prompt_tokens + record.terms.max_new_tokens;
    least = std::max(least, BlocksForSequence(most, cache.block_tokens()) +
                                tenants.GuaranteedToOthers(*record.account));
  });
  return least;
}

absl::StatusOr<PoolResized> AdmissionController::Resize(Blocks total, const PreparePool& prepare) {
  State& state = *state_;
  KvCache& cache = state.cache;
  if (total < Blocks(1) || total > cache.most()) {
    return BadField(
        "total_blocks", total.value(),
        "1 to " + std::to_string(cache.most().value()) + ", the most that the pool may have");
  }
  const Instant now = state.clock.Now();
  state.EndWhatIsOver(now);
  const BlockCounts before = cache.counts();
  if (const Blocks least = state.LeastTotal(); total < least) {
    return absl::FailedPreconditionError(
        "a pool of " + std::to_string(total.value()) + " blocks is too small: it needs at least " +
        std::to_string(least.value()) + " (live " + std::to_string(before.live.value()) +
        ", reserved " + std::to_string(before.reserved.value()) +
        ", the rest guaranteed or not yet promised to who runs)");
  }
  const auto moves = cache.PrepareResize(total);
  PLIMSOLL_CHECK(moves.has_value(), total, before.live, before.reserved);
  const Blocks evicted = before.cached - cache.counts().cached;
  const absl::Status prepared = prepare(total, *moves);
  if (prepared.ok()) {
    cache.Resize(total, *moves);
    state.tenants.Resized(total);
    if (state.tenants.owes()) state.tenants.Grant(cache.available());
    state.policies.Resized(total);
    if (!state.policies.all_promise_whole()) state.TellRoom();
    for (size_t purse = 0; purse < state.tenants.purses(); ++purse) state.queue.Stir(purse);
  }
  state.Settle(now);
  if (!prepared.ok()) return prepared;
  return PoolResized{.before = before.total,
                     .now = total,
                     .evicted = evicted,
                     .moved = Blocks(std::ssize(*moves))};
}

}  // namespace plimsoll
