// Admission checks itself: every reservation against the cache, the leases and the queue.
#include <map>

#include "kvcache/admission/admission_state.h"

namespace plimsoll {
namespace {

#ifdef PLIMSOLL_DEBUG_CHECKS
constexpr int64_t kVerifiedWhole = 64;  // verified after every call up to this many records
#else
constexpr int64_t kVerifiedWhole = 0;
#endif

}  // namespace

void AdmissionController::State::CheckInvariants() const {
  cache.CheckInvariants();
  queue.CheckInvariants();
  Blocks promised;
  int64_t ended = 0;
  int64_t running = 0;
  int64_t prepared = 0;
  int64_t kept = 0;
  book.SeeAll([&](const ReservationRecord& record) {
    const int64_t number = record.number;
    const bool idle = !record.ended && !record.sequence;
    PLIMSOLL_CHECK(record.lease.has_value() == (idle && !record.kept), number);
    PLIMSOLL_CHECK(!record.lease || leases.Holds(number, record.lease), number);
    PLIMSOLL_CHECK(record.keeper == nullptr ? !record.kept : !record.ended, number);
    if (idle && record.kept) ++kept;
    if (record.ended) ++ended;
    PLIMSOLL_CHECK(!record.prepared || idle, number);
    if (record.sequence) ++running;
    if (record.prepared) ++prepared;
    if (const auto its = record.sequence ? record.sequence : record.prepared) {
      promised += cache.PromiseLeft(*its);
    } else if (idle) {
      promised += record.terms.blocks;
    }
  });
  const BlockCounts counts = cache.counts();
  PLIMSOLL_CHECK(promised == counts.reserved, promised, counts.reserved);
  PLIMSOLL_CHECK(running + prepared == cache.sequences(), running, prepared, cache.sequences());
  PLIMSOLL_CHECK(ended == book.ended(), ended, book.ended());
  PLIMSOLL_CHECK(leases.size() == book.held() - running - kept, leases.size(), book.held(), running,
                 kept);
  PLIMSOLL_CHECK(counters.admitted == counters.released + counters.expired + book.held(),
                 counters.admitted, counters.released, counters.expired, book.held());
  CheckTenants();
  // With shared prefixes, what the front needs changes with what others compute; and a policy that
  // promises in part may keep blocks free.
  const std::optional<int64_t> front = queue.Front();
  if (!front || cache.shares_prefixes() || !policies.all_promise_whole()) return;
  PLIMSOLL_CHECK(Decide(queue.At(*front).request, {}).decision == Decision::kWait, *front);
}

void AdmissionController::State::CheckTenants() const {
  tenants.CheckInvariants();
  PLIMSOLL_CHECK(tenants.kept() <= cache.available(), tenants.kept(), cache.available());
  std::map<const TenantAccount*, int64_t> held;
  book.SeeAll([&](const ReservationRecord& record) {
    if (!record.ended) ++held[record.account];
  });
  TenantUse sum = tenants.departed();
  for (const TenantAccount* account : tenants.All()) {
    const TenantUse& use = account->use;
    PLIMSOLL_CHECK(use.reservations == held[account], use.tenant, use.reservations);
    PLIMSOLL_CHECK(use.admitted == use.released + use.expired + use.reservations, use.tenant);
    sum.blocks += use.blocks;
    sum.waiting += use.waiting;
    sum.admitted += use.admitted;
    sum.refused_wait += use.refused_wait;
    sum.refused_never += use.refused_never;
  }
  const BlockCounts counts = cache.counts();
  PLIMSOLL_CHECK(sum.blocks == counts.live + counts.reserved, sum.blocks, counts.live,
                 counts.reserved);
  PLIMSOLL_CHECK(sum.waiting == queue.size(), sum.waiting, queue.size());
  PLIMSOLL_CHECK(sum.admitted == counters.admitted, sum.admitted, counters.admitted);
  PLIMSOLL_CHECK(sum.refused_wait == counters.refused_wait, sum.refused_wait);
  PLIMSOLL_CHECK(sum.refused_never == counters.refused_never, sum.refused_never);
}

void AdmissionController::State::Settle(Instant now) {
  published.Expect();
  if (queue.size() > 0) ServeWaiters(now);
  Publish();
  const int64_t records = book.held() + book.ended() + queue.size();
  if (records < kVerifiedWhole) CheckInvariants();
}

}  // namespace plimsoll
