// How much of the pool each tenant may hold, and what it does hold.
//
// A tenant's guaranteed minimum is kept for it: what it has not used of it, nobody else gets. Its
// maximum is what it may borrow up to. Tenants without a quota of their own are the others: each
// has the others' maximum, and all of them together share the others' minimum.
//
// What counts is what a tenant really keeps from others: blocks promised to it or held by its
// sequences, each once. A prefix that several of its requests share counts once, from the first
// holder to the last; nothing is shared between tenants. Cached blocks, which nobody holds, count
// for nobody.
//
// Threads: values. Errors: none.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct TenantQuota {
  Blocks guaranteed = Blocks(0);
  Blocks most = Blocks(std::numeric_limits<int64_t>::max());  // at least 1, and `guaranteed`

  friend bool operator==(const TenantQuota&, const TenantQuota&) = default;
};

struct Quotas {
  std::map<std::string, TenantQuota> tenants = {};
  TenantQuota others = {};

  friend bool operator==(const Quotas&, const Quotas&) = default;
};

// One tenant, or those together that came and went and are no longer told apart.
struct TenantUse {
  std::string tenant;
  TenantQuota quota;
  Blocks blocks;             // promised or held, each once
  int64_t reservations = 0;  // held now
  int64_t waiting = 0;
  // Since the start, as in AdmissionSnapshot:
  int64_t admitted = 0;
  int64_t waited = 0;
  int64_t refused_wait = 0;
  int64_t refused_never = 0;
  int64_t released = 0;
  int64_t expired = 0;
};

enum class HoldingState : uint8_t {
  kUnconfirmed,  // granted, and no sign of life since
  kHeld,         // under its lease
  kRunning,      // a sequence lives on it
  kSuspended,    // its sequence gave its blocks to another and starts over later
  kStopping,     // released or revoked while its sequence runs
};

std::string_view NameOf(HoldingState state);  // "unconfirmed", ...
std::optional<HoldingState> HoldingStateFromName(std::string_view name);

// Who holds what: one reservation.
struct Holding {
  std::string id;
  std::string tenant;
  HoldingState state;
  Duration age;                       // since the grant
  std::optional<Duration> remaining;  // of the lease; none where a sequence is the sign of life
  Tokens prompt_tokens;
  Tokens max_new_tokens;
  Blocks blocks;  // for it in all: promised, filled, or shared
  Blocks used;    // of these, those that hold tokens, as far as they were reported
  bool may_stop;  // its sequence may be stopped for another: it is not promised the whole
};

// Which of those who hold something are meant; all, where it says nothing.
struct HoldingFilter {
  std::optional<std::string> tenant = std::nullopt;
  std::optional<HoldingState> state = std::nullopt;
};

struct HoldingPage {
  std::vector<Holding> holdings;
  std::optional<int64_t> next = std::nullopt;  // pages go on after this number; none: that was all
};

}  // namespace plimsoll
