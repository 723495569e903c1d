#include "kvcache/admission/growth_forecast.h"

#include <algorithm>
#include <cmath>

namespace plimsoll {
namespace {

constexpr size_t kTenants = 16;  // everybody, and those with a distribution of their own
constexpr size_t kKinds = 272;
constexpr int64_t kEndsToLearn = 4;  // before a distribution is worked out anew
// What the distributions above weigh, and how fast is forgotten.
constexpr double kTenantPrior = 20, kTenantKept = 0.998;
constexpr double kPromptPrior = 5, kPromptKept = 0.99;

// Two to an octave.
size_t PromptBin(const Demand& demand) {
  return static_cast<size_t>(OutputLengths::BinOf(demand.prompt.value())) / 2;
}

}  // namespace

GrowthForecast::GrowthForecast(Blocks total, Tokens block_tokens)
    : block_tokens_(block_tokens), half_block_(static_cast<double>(block_tokens.value()) / 2) {
  SetRoom(total);
  tenants_.push_back({.kind = MakeKind(0, {})});
}

size_t GrowthForecast::MakeKind(size_t parent, const OutputLengths::Options& options) {
  kinds_.push_back({.lengths = std::make_unique<OutputLengths>(options), .parent = parent});
  return kinds_.size() - 1;
}

size_t GrowthForecast::TenantOf(std::string_view name) const {
  if (name.empty()) return 0;
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? 0 : found->second;
}

size_t GrowthForecast::AddTenant(std::string_view name) {
  if (const size_t known = TenantOf(name); known > 0) return known;
  if (name.empty() || tenants_.size() == kTenants || kinds_.size() == kKinds) return 0;
  by_name_.emplace(std::string(name), tenants_.size());
  tenants_.push_back({.kind = MakeKind(0, {.prior = kinds_[0].lengths.get(),
                                           .prior_requests = kTenantPrior,
                                           .kept = kTenantKept})});
  return tenants_.size() - 1;
}

size_t GrowthForecast::KindOf(const Demand& demand) const {
  const Tenant& tenant = tenants_[TenantOf(demand.tenant)];
  const size_t special = tenant.by_prompt[PromptBin(demand)];
  return special == 0 ? tenant.kind : special;
}

size_t GrowthForecast::AddKind(const Demand& demand) {
  Tenant& tenant = tenants_[AddTenant(demand.tenant)];
  size_t& special = tenant.by_prompt[PromptBin(demand)];
  if (special == 0 && kinds_.size() < kKinds) {
    special = MakeKind(tenant.kind, {.prior = kinds_[tenant.kind].lengths.get(),
                                     .prior_requests = kPromptPrior,
                                     .kept = kPromptKept});
  }
  return special == 0 ? tenant.kind : special;
}

template <class What>
void GrowthForecast::Upwards(size_t kind, What what) {
  what(kinds_[kind]);
  for (; kind != kinds_[kind].parent; kind = kinds_[kind].parent) what(kinds_[kinds_[kind].parent]);
}

GrowthForecast::Request GrowthForecast::Describe(const Demand& demand, size_t kind) const {
  return {.kind = kind,
          .bin = OutputLengths::BinOf(demand.generated.value()),
          .age = demand.generated.value(),
          .length = static_cast<double>(demand.length().value()) + half_block_,
          .longest = static_cast<double>((demand.prompt + demand.max_new).value()) + half_block_};
}

bool GrowthForecast::Fits(const Demand& more, double deviations) const {
  const Request request = Describe(more, KindOf(more));
  if (longest_ + request.longest <= room_) return true;
  const OutputLengths::Survival& survival = kinds_[request.kind].lengths->Survivors(request.bin);
  for (size_t k = 0; k < kHorizons; ++k) {
    const double steps = static_cast<double>(OutputLengths::kHorizons[k]);
    const double most = length_ + request.length + static_cast<double>(running_ + 1) * steps;
    if (most <= room_) continue;
    const double own = request.length + steps;
    const double mean = mean_[k] + survival[k] * own;
    const double variance = variance_[k] + survival[k] * (1 - survival[k]) * own * own;
    const double given_back = most - mean - deviations * std::sqrt(std::max(variance, 0.0));
    if (most - std::max(given_back, 0.0) > room_) return false;
  }
  return true;
}

void GrowthForecast::CountInBin(const Request& request, int64_t sign) {
  Sums& sums = kinds_[request.kind].bins[static_cast<size_t>(request.bin)];
  const auto factor = static_cast<double>(sign);
  sums.requests += sign;
  sums.length += factor * request.length;
  sums.square += factor * request.length * request.length;
  if (sums.requests == 0) sums = {};  // leave no rounding behind
}

void GrowthForecast::Count(const Request& request, double sign) {
  const OutputLengths::Survival& survival = kinds_[request.kind].lengths->Survivors(request.bin);
  for (size_t k = 0; k < kHorizons; ++k) {
    const double need = request.length + static_cast<double>(OutputLengths::kHorizons[k]);
    mean_[k] += sign * survival[k] * need;
    variance_[k] += sign * survival[k] * (1 - survival[k]) * need * need;
  }
  length_ += sign * request.length;
  longest_ += sign * request.longest;
}

GrowthForecast::Place GrowthForecast::Add(const Demand& demand) {
  const Request request = Describe(demand, AddKind(demand));
  CountInBin(request, 1);
  Count(request, 1);
  ++running_;
  ++kinds_[request.kind].running;
  if (unused_.empty()) {
    requests_.push_back(request);
    return requests_.size() - 1;
  }
  const Place place = unused_.back();
  unused_.pop_back();
  requests_[place] = request;
  return place;
}

void GrowthForecast::Grew(Place place, Tokens more) {
  Request& request = requests_[place];
  CountInBin(request, -1);
  const int64_t age = request.age + more.value();
  for (int64_t at = request.age; at < age; at = OutputLengths::EndOf(request.bin)) {
    request.bin = OutputLengths::BinOf(at);
    if (at != OutputLengths::StartOf(request.bin)) continue;
    Upwards(request.kind, [&](Kind& kind) { kind.lengths->Entered(request.bin); });
  }
  request.age = age;
  request.bin = OutputLengths::BinOf(age);
  request.length += static_cast<double>(more.value());
  length_ += static_cast<double>(more.value());
  CountInBin(request, 1);
}

void GrowthForecast::End(Place place) {
  const Request& request = requests_[place];
  const int last = OutputLengths::BinOf(std::max<int64_t>(request.age - 1, 0));
  Upwards(request.kind, [&](Kind& kind) {
    kind.lengths->Ended(last);
    ++kind.ends;
  });
  Remove(place);
}

void GrowthForecast::CutOff(Place place) { Remove(place); }

void GrowthForecast::Remove(Place place) {
  PLIMSOLL_CHECK(running_ > 0, place);
  CountInBin(requests_[place], -1);
  Count(requests_[place], -1);
  --running_;
  --kinds_[requests_[place].kind].running;
  unused_.push_back(place);
}

void GrowthForecast::AddUp(const Kind& kind) {
  for (int bin = 0; bin < OutputLengths::kBins; ++bin) {
    const Sums& sums = kind.bins[static_cast<size_t>(bin)];
    if (sums.requests == 0) continue;
    const OutputLengths::Survival& survival = kind.lengths->Survivors(bin);
    const auto requests = static_cast<double>(sums.requests);
    length_ += sums.length;
    for (size_t k = 0; k < kHorizons; ++k) {
      const double steps = static_cast<double>(OutputLengths::kHorizons[k]);
      mean_[k] += survival[k] * (sums.length + requests * steps);
      variance_[k] += survival[k] * (1 - survival[k]) *
                      (sums.square + steps * (2 * sums.length + requests * steps));
    }
  }
}

void GrowthForecast::Refresh() {
  mean_ = {};
  variance_ = {};
  length_ = 0;
  for (Kind& kind : kinds_) {
    if (kind.ends >= kEndsToLearn) {
      kind.lengths->Learn();
      kind.ends = 0;
    }
    if (kind.running > 0) AddUp(kind);
  }
}

}  // namespace plimsoll
