#include "kvcache/admission/tenant_book.h"

#include <algorithm>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr size_t kIdleKept = 1000;

std::string Named(const std::string& tenant, std::string_view field) {
  return "quotas." + (tenant.empty() ? "\"\"" : Excerpt(tenant)) + "." + std::string(field);
}

absl::Status CheckQuota(const std::string& name, const TenantQuota& quota) {
  const Blocks least = std::max(quota.guaranteed, Blocks(1));
  if (quota.most >= least) return absl::OkStatus();
  return BadField(Named(name, "most"), quota.most.value(),
                  "at least 1 and its guaranteed " + std::to_string(quota.guaranteed.value()));
}

absl::Status CheckQuotas(const Quotas& quotas, Blocks total) {
  PLIMSOLL_RETURN_IF_ERROR(CheckQuota("others", quotas.others));
  Blocks left = total;
  const auto guarantee = [&](const std::string& name, const TenantQuota& quota) {
    if (quota.guaranteed > left) {
      return BadField(
          Named(name, "guaranteed"), quota.guaranteed.value(),
          "all guaranteed blocks together at most the pool's " + std::to_string(total.value()));
    }
    left -= quota.guaranteed;
    return absl::OkStatus();
  };
  PLIMSOLL_RETURN_IF_ERROR(guarantee("others", quotas.others));
  for (const auto& [tenant, quota] : quotas.tenants) {
    PLIMSOLL_RETURN_IF_ERROR(CheckQuota(tenant, quota));
    PLIMSOLL_RETURN_IF_ERROR(guarantee(tenant, quota));
  }
  return absl::OkStatus();
}

void AddCounts(const TenantUse& from, TenantUse& to) {
  to.admitted += from.admitted;
  to.waited += from.waited;
  to.refused_wait += from.refused_wait;
  to.refused_never += from.refused_never;
  to.released += from.released;
  to.expired += from.expired;
}

}  // namespace

TenantBook::TenantBook(const Quotas& quotas, Blocks total)
    : total_(total), most_of_others_(quotas.others.most) {
  AddPurse(quotas.others.guaranteed);
  for (const auto& [tenant, quota] : quotas.tenants) {
    TenantUse use{.tenant = tenant, .quota = quota, .blocks = Blocks(0)};
    busy_.push_back({.use = std::move(use), .purse = purses_.size(), .listed = true, .busy = true});
    by_name_.emplace(tenant, std::prev(busy_.end()));
    AddPurse(quota.guaranteed);
  }
  kept_ = guaranteed_;
}

absl::StatusOr<TenantBook> TenantBook::Create(const Quotas& quotas, Blocks total) {
  PLIMSOLL_RETURN_IF_ERROR(CheckQuotas(quotas, total));
  return TenantBook(quotas, total);
}

TenantRoom TenantBook::RoomOf(std::string_view tenant) const {
  const auto found = by_name_.find(tenant);
  const TenantAccount* const account = found == by_name_.end() ? nullptr : &*found->second;
  const size_t index = account == nullptr ? 0 : account->purse;
  const Blocks most = account == nullptr ? most_of_others_ : account->use.quota.most;
  const Blocks held = account == nullptr ? Blocks(0) : account->use.blocks;
  const Blocks once = account == nullptr ? most : std::max(most, account->once_allowed);
  const Purse& purse = purses_[index];
  const Blocks not_of_others = total_ - (guaranteed_ - purse.guaranteed);
  return {.kept_for_others = kept_ - purse.unused(),
          .own = purse.unused(),
          .left = most > held ? most - held : Blocks(0),
          .most_ever = std::min(most, not_of_others),
          .purse = index,
          .holders_left = once > held ? once - held : Blocks(0),
          .holders_most_ever = std::min(once, not_of_others)};
}

TenantAccount& TenantBook::Open(std::string_view tenant) {
  if (const auto known = by_name_.find(tenant); known != by_name_.end()) return *known->second;
  if (idle_.size() > kIdleKept) ForgetOne();
  TenantUse use{.tenant = std::string(tenant),
                .quota = {.guaranteed = Blocks(0), .most = most_of_others_},
                .blocks = Blocks(0)};
  idle_.push_back({.use = std::move(use)});
  by_name_.emplace(tenant, std::prev(idle_.end()));
  return idle_.back();
}

void TenantBook::ForgetOne() {
  const TenantAccount& oldest = idle_.front();
  PLIMSOLL_CHECK(oldest.idle() && oldest.use.blocks == Blocks(0), oldest.use.tenant);
  AddCounts(oldest.use, departed_);
  by_name_.erase(by_name_.find(oldest.use.tenant));
  idle_.pop_front();
}

void TenantBook::Note(TenantAccount& account) {
  if (account.use.reservations == 0) account.once_allowed = Blocks(0);
  const bool busy = account.listed || !account.idle();
  if (busy == account.busy) return;
  account.busy = busy;
  Accounts& to = busy ? busy_ : idle_;
  to.splice(to.end(), busy ? idle_ : busy_, by_name_.find(account.use.tenant)->second);
}

void TenantBook::SetUsed(Purse& purse, Blocks used) {
  kept_ -= purse.unused();
  purse.used = used;
  kept_ += purse.unused();
}

void TenantBook::Take(TenantAccount& account, Blocks n) {
  account.use.blocks += n;
  Purse& purse = purses_[account.purse];
  SetUsed(purse, purse.used + n);
}

void TenantBook::GiveBack(TenantAccount& account, Blocks n) {
  PLIMSOLL_CHECK(n <= account.use.blocks, account.use.tenant, n, account.use.blocks);
  account.use.blocks -= n;
  Purse& purse = purses_[account.purse];
  SetUsed(purse, purse.used - n);
}

absl::Status TenantBook::Check(const Quotas& quotas) const { return CheckQuotas(quotas, total_); }

void TenantBook::Replace(const Quotas& quotas, Blocks available) {
  most_of_others_ = quotas.others.most;
  purses_.clear();
  guaranteed_ = Blocks(0);
  AddPurse(quotas.others.guaranteed);
  for (const TenantAccount* each : All()) {
    TenantAccount& account = *by_name_.find(each->use.tenant)->second;
    account.once_allowed = std::max(account.once_allowed, account.use.quota.most);
    account.use.quota = {.guaranteed = Blocks(0), .most = most_of_others_};
    account.purse = 0;
    account.listed = false;
  }
  for (const auto& [tenant, quota] : quotas.tenants) {
    TenantAccount& account = Open(tenant);
    account.use.quota = quota;
    account.purse = purses_.size();
    account.listed = true;
    AddPurse(quota.guaranteed);
    Note(account);
  }
  kept_ = owed_ = Blocks(0);
  for (Purse& purse : purses_) {
    purse.granted = Blocks(0);
    owed_ += purse.guaranteed;
  }
  for (const TenantAccount* each : All()) {
    purses_[each->purse].used += each->use.blocks;
    Note(*by_name_.find(each->use.tenant)->second);
  }
  Grant(available);
}

void TenantBook::Grant(Blocks available) {
  for (Purse& purse : purses_) {
    const Blocks held = std::min(std::max(purse.granted, purse.used), purse.guaranteed);
    const Blocks spare = available - kept_;
    const Blocks granted = held + std::min(purse.guaranteed - held, spare);
    kept_ -= purse.unused();
    owed_ -= granted - purse.granted;
    purse.granted = granted;
    kept_ += purse.unused();
  }
}

void TenantBook::Resized(Blocks total) {
  PLIMSOLL_CHECK(guaranteed_ <= total, guaranteed_, total);
  total_ = total;
}

std::vector<const TenantAccount*> TenantBook::All() const {
  std::vector<const TenantAccount*> all;
  for (const TenantAccount& account : busy_) all.push_back(&account);
  for (const TenantAccount& account : idle_) all.push_back(&account);
  std::sort(all.begin(), all.end(), [](const TenantAccount* a, const TenantAccount* b) {
    return a->use.tenant < b->use.tenant;
  });
  return all;
}

void TenantBook::CheckInvariants() const {
  std::vector<Blocks> used(purses_.size());
  for (const TenantAccount* account : All()) {
    used[account->purse] += account->use.blocks;
    PLIMSOLL_CHECK(!account->idle() || account->use.blocks == Blocks(0), account->use.tenant,
                   account->use.blocks);
    const Blocks most = std::max(account->use.quota.most, account->once_allowed);
    PLIMSOLL_CHECK(account->use.blocks <= most, account->use.tenant, account->use.blocks, most);
  }
  Blocks kept, owed;
  for (size_t i = 0; i < purses_.size(); ++i) {
    PLIMSOLL_CHECK(used[i] == purses_[i].used, i, used[i], purses_[i].used);
    kept += purses_[i].unused();
    owed += purses_[i].guaranteed - purses_[i].granted;
  }
  PLIMSOLL_CHECK(owed == owed_, owed, owed_);
  PLIMSOLL_CHECK(kept == kept_, kept, kept_);
}

}  // namespace plimsoll
