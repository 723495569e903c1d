// What each tenant holds and may hold.
//
// A purse is a guaranteed minimum with what is used of it: each tenant with a quota has its own,
// and the others share the first one. What is unused in all purses is kept from everybody else.
//
// Invariants: kept() is the sum over purses of what is unused; what tenants hold adds up to what
// purses have given out. The minimums add up to at most the pool, so as long as nobody takes what
// is kept from it, the blocks that are kept are there.
//
// Quotas may change while tenants hold. A minimum that is raised is granted as far as blocks are
// there, and the rest as they come back. A tenant above a maximum that was lowered gets nothing
// new; what was promised before may be asked for with the maximum of then, as long as it holds.
//
// A tenant that holds nothing and does not wait is forgotten when a thousand others were idle since
// then; its counts go to `departed`, so that sums over tenants stay right.
//
// Threads: none; the owner serialises calls. Cost: O(1) per call, one hash of the name where it is
// given by name. Errors: InvalidArgument from Create; giving back more than was taken aborts.
#pragma once

#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/admission/tenants.h"

namespace plimsoll {

// What a decision about one tenant's request is made from.
struct TenantRoom {
  Blocks kept_for_others;  // of what is available
  Blocks own;              // left of its guaranteed minimum: nobody else can have it
  Blocks left;             // until its maximum
  Blocks most_ever;        // in an empty pool
  size_t purse;
  Blocks holders_left;       // the same two for who holds a reservation already: more, where the
  Blocks holders_most_ever;  // maximum was lowered since
};

struct TenantAccount {
  TenantUse use;  // its name and counts
  size_t purse = 0;
  bool listed = false;              // has a quota of its own
  bool busy = false;                // is in the list of those
  Blocks once_allowed = Blocks(0);  // the highest of its maximums since it was idle

  bool idle() const { return use.reservations == 0 && use.waiting == 0; }
};

class TenantBook {
 public:
  // InvalidArgument, naming the quota, where the pool of `total` blocks cannot honour them.
  static absl::StatusOr<TenantBook> Create(const Quotas& quotas, Blocks total);

  // Of a tenant that may be new: changes nothing.
  TenantRoom RoomOf(std::string_view tenant) const;
  // Valid while it holds or waits, and until the next call of Open otherwise.
  TenantAccount& Open(std::string_view tenant);
  // After its reservations or waits changed.
  void Note(TenantAccount& account);

  // It holds so many more, or fewer. Taking is checked by who decides.
  void Take(TenantAccount& account, Blocks n);
  void GiveBack(TenantAccount& account, Blocks n);

  // InvalidArgument, as Create says, for quotas that this pool cannot honour.
  absl::Status Check(const Quotas& quotas) const;
  // From now on these, which Check accepts; so much of the pool is available. Accounts stay where
  // they are, but their purses are others. O(tenants).
  void Replace(const Quotas& quotas, Blocks available);
  // Whether not all of the minimums could be granted yet.
  bool owes() const { return owed_ > Blocks(0); }
  // So much is available now: grants of what is owed what is there.
  void Grant(Blocks available);

  // The pool has so many blocks now, at least what is guaranteed.
  void Resized(Blocks total);
  Blocks guaranteed() const { return guaranteed_; }
  // Of a pool, what this tenant can never have because it is guaranteed to others.
  Blocks GuaranteedToOthers(const TenantAccount& account) const {
    return guaranteed_ - purses_[account.purse].guaranteed;
  }

  Blocks kept() const { return kept_; }  // for all who have something left of a minimum
  size_t purses() const { return purses_.size(); }
  bool guarantees(size_t purse) const { return purses_[purse].guaranteed > Blocks(0); }
  const TenantUse& departed() const { return departed_; }
  // By name.
  std::vector<const TenantAccount*> All() const;

  void CheckInvariants() const;

 private:
  struct Purse {
    Blocks guaranteed;
    Blocks granted;  // of that
    Blocks used;

    Blocks unused() const { return granted > used ? granted - used : Blocks(0); }
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  using Accounts = std::list<TenantAccount>;

  TenantBook(const Quotas& quotas, Blocks total);
  void SetUsed(Purse& purse, Blocks used);
  void AddPurse(Blocks guaranteed) {
    purses_.push_back({.guaranteed = guaranteed, .granted = guaranteed, .used = Blocks(0)});
    guaranteed_ += guaranteed;
  }
  void ForgetOne();

  Blocks total_;
  Blocks most_of_others_;
  Blocks guaranteed_;  // to all
  Blocks kept_;
  Blocks owed_;                // of what is guaranteed, not yet granted
  std::vector<Purse> purses_;  // the first is the others'
  Accounts busy_;              // and those with a quota
  Accounts idle_;              // oldest first
  std::unordered_map<std::string, Accounts::iterator, Hash, std::equal_to<>> by_name_;
  TenantUse departed_;
};

}  // namespace plimsoll
