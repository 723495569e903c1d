// The words of admission: what is asked, what is promised, what is refused and why.
//
// Threads: values. Errors: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"

namespace plimsoll {

enum class Decision : uint8_t { kAdmitted, kWait, kNever };

enum class Reason : uint8_t {
  kNone,
  kNoFreeBlocks,  // wait: could fit later
  kTenantQuota,   // wait: the tenant is at its maximum
  kWaitTimeout,   // wait: queued for max_wait without luck
  kDraining,      // wait: the server takes nothing new
  kLearning,      // wait: the server is finding out who holds what
  kNeverFits,     // never: more than an empty pool, or than the model's context, holds
  kTenantLimit,   // never: more than the tenant may ever hold
};

std::string_view NameOf(Decision decision);  // "admitted", "wait", "never"
std::string_view NameOf(Reason reason);      // "NO_FREE_BLOCKS", ...; "" for kNone

inline constexpr int kLowestPriority = -2;
inline constexpr int kHighestPriority = 2;

// A request for room. Token counts are bounded before they get here: prompt_tokens in
// [1, kMaxTokens], max_new_tokens in [0, kMaxTokens].
//
// `priority` is in [kLowestPriority, kHighestPriority]; higher ones are served first.
struct ReservationRequest {
  std::string request_id = {};  // at most 128 bytes; empty: every call is a new request
  std::string tenant = {};      // at most 128 bytes; empty is a tenant like any other
  Tokens prompt_tokens;
  Tokens max_new_tokens;
  Duration ttl = Duration::zero();  // lease; zero means the server's default
  // Of the prompt's full blocks, from the first on, one hash each of the block and all before it.
  // Equal hashes of one tenant stand for equal blocks; between tenants nothing is shared.
  std::vector<uint64_t> prefix_hashes = {};
  int priority = 0;
  std::string request_class = {};  // whose policy it is under; empty: the server's
  // The id of a reservation that its holder released because it was refused room to grow, and that
  // this one goes on with: it comes back before all newcomers, in the order of first grants. One
  // that is not known, or was released for no such reason, is as good as none.
  std::string resumes = {};
};

// Room promised to one request.
struct Reservation {
  std::string id;     // "<epoch>-<number>"
  std::string epoch;  // the server life that gave it
  std::string tenant;
  Tokens prompt_tokens;
  Tokens max_new_tokens;
  Blocks blocks;                     // for it in all: promised, filled, or shared
  Blocks prefix_blocks = Blocks(0);  // of these, those that were there already
  Duration ttl;                      // what each sign of life extends the lease by
  Instant expires;                   // the lease ends then
  WallTime expire_time;              // the same for people
  bool confirmed = false;
  std::string claimed_id = {};  // of one that was claimed: what an earlier life called it
  bool ended = false;           // a repeated request_id gets it still; it holds nothing
};

// What a holder says that an earlier life of a ledger gave it. Token counts as in a request.
struct ReservationClaim {
  std::string id;
  std::string tenant = {};
  Tokens prompt_tokens;
  Tokens max_new_tokens;
  Duration ttl = Duration::zero();
  std::string request_id = {};  // empty: nobody will ask under it again
  std::string request_class = {};
};

// Why not, and what would help.
struct Refusal {
  Decision decision;  // kWait or kNever
  Reason reason;
  Blocks needed;
  Blocks missing;            // for a wait: blocks short just now
  Duration retry_after;      // for a wait: when it is worth asking again
  Tokens largest_fit;        // prompt plus new tokens that would fit it in an empty pool
  std::string binding_term;  // for a never: "pool", "context" or "tenant", what it exceeds
  // For a wait of an extension: somebody who came earlier waits for room to grow too, and nobody
  // else's room helps: release, and come back with `resumes`. False: what comes back is kept for
  // this one for a few seconds, so try again.
  bool yield = false;
};

// A reservation that was taken away from its holder.
struct Revocation {
  Blocks blocks;          // that it held
  bool stopping = false;  // its sequence runs: they come back when that has stopped
};

using Answer = std::variant<Reservation, Refusal>;

// The one of several requests that was refused, so that none was admitted.
struct RefusedOne {
  size_t index;
  Refusal refusal;
};
using BatchAnswer = std::variant<std::vector<Reservation>, RefusedOne>;

}  // namespace plimsoll
