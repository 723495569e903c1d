// Admission checks itself: every reservation against the cache, the leases and the queue.
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
  for (const auto& [number, record] : book) {
    const Reservation& reservation = record.reservation;
    PLIMSOLL_CHECK(record.number == number && reservation.epoch == options.epoch, number);
    const bool leased = !record.ended && !record.sequence;
    PLIMSOLL_CHECK(leases.Has(number) == leased, reservation.id);
    if (record.ended) ++ended;
    PLIMSOLL_CHECK(!record.prepared || leased, reservation.id);
    if (record.sequence) ++running;
    if (record.prepared) ++prepared;
    if (const auto its = record.sequence ? record.sequence : record.prepared) {
      promised += cache.PromiseLeft(*its);
    } else if (leased) {
      promised += reservation.blocks;
    }
  }
  const BlockCounts counts = cache.counts();
  PLIMSOLL_CHECK(promised == counts.reserved, promised, counts.reserved);
  PLIMSOLL_CHECK(running + prepared == cache.sequences(), running, prepared, cache.sequences());
  PLIMSOLL_CHECK(ended == book.ended(), ended, book.ended());
  PLIMSOLL_CHECK(leases.size() == book.held() - running, leases.size(), book.held(), running);
  PLIMSOLL_CHECK(counters.admitted == counters.released + counters.expired + book.held(),
                 counters.admitted, counters.released, counters.expired, book.held());
  const Waiter* const front = queue.Front();
  // With shared prefixes, what the front needs changes with what others compute; and a policy that
  // promises in part may keep blocks free.
  PLIMSOLL_CHECK(front == nullptr || cache.shares_prefixes() || !promises_whole() ||
                     front->needed > counts.free,
                 counts.free);
}

void AdmissionController::State::Settle() {
  Publish();
  const int64_t records = book.held() + book.ended() + queue.size();
  if (records < kVerifiedWhole) CheckInvariants();
}

}  // namespace plimsoll
