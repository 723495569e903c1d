// Lists of who holds what, as a table for people or one JSON object.
//
// Threads: pure functions. Cost: a string. Errors: none.
#pragma once

#include <string>
#include <vector>

#include "kvcache/admission/tenants.h"
#include "rpc/listing.h"

namespace plimsoll {

// reservations: [{reservation_id, tenant, state, age_seconds, remaining_seconds, prompt_tokens,
// max_new_tokens, blocks, used_blocks, unused_blocks, may_be_stopped}]; more: whether there are.
// remaining_seconds is null where a sequence is the sign of life.
std::string ReservationsJson(const std::vector<Holding>& held, bool more);
std::string ReservationsText(const std::vector<Holding>& held, bool more);

// tenants: [{tenant, departed, guaranteed_blocks, most_blocks, blocks, reservations, waiting,
// admitted_count, waited_count, refused_wait_count, refused_never_count, released_count,
// expired_count}]. most_blocks is null where only the pool bounds it.
std::string TenantsJson(const TenantPage& all);
std::string TenantsText(const TenantPage& all);

// "850ms", "12s", "3m05s", "2h07m", "4d06h": at most six characters up to 99 days.
std::string ShortDuration(Duration duration);

}  // namespace plimsoll
