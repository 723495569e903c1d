// What the page reads, as JSON texts whose size is bounded whatever the server holds.
//
// Threads: any. Cost: as each says. Errors: none.
#pragma once

#include <string>

#include "rpc/dashboard/pool_history.h"
#include "rpc/served.h"

namespace plimsoll {

// The pool now, the outlook, decisions by outcome and reason, waits and health: about 2 kB. Takes
// the admission lock for two O(1) questions.
std::string StateJson(const Served& served, const PoolHistory& history);

// The last ten minutes, a column for each quantity: at most about 30 kB. Takes no lock of
// admission.
std::string HistoryJson(const PoolHistory& history);

// Who holds what: tenants that hold most, ages, the oldest reservations, and who would go first;
// at most about 10 kB, of no more than the thousand oldest reservations. Takes the admission lock
// for some of them at a time.
std::string HoldersJson(const Served& served);

// What the server is and what its memory was planned for and measured: about 1 kB.
std::string ServerJson(const Served& served);

}  // namespace plimsoll
