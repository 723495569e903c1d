#include "kvcache/admission/growth_forecast.h"

#include <algorithm>
#include <cmath>

namespace plimsoll {
namespace {

constexpr size_t kTenants = 16;       // with a distribution of their own, and everybody
constexpr int64_t kEndsToLearn = 16;  // before a distribution is worked out anew

}  // namespace

GrowthForecast::GrowthForecast(Blocks total, Tokens block_tokens)
    : room_(static_cast<double>((total.value() * block_tokens).value())),
      half_block_(static_cast<double>(block_tokens.value()) / 2) {
  tenants_.push_back({.lengths = std::make_unique<OutputLengths>(nullptr), .bins = {}});
}

size_t GrowthForecast::TenantOf(std::string_view name) const {
  if (name.empty()) return 0;
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? 0 : found->second;
}

size_t GrowthForecast::AddTenant(std::string_view name) {
  if (const size_t known = TenantOf(name); known > 0) return known;
  if (name.empty() || tenants_.size() == kTenants) return 0;
  by_name_.emplace(std::string(name), tenants_.size());
  tenants_.push_back(
      {.lengths = std::make_unique<OutputLengths>(tenants_[0].lengths.get()), .bins = {}});
  return tenants_.size() - 1;
}

GrowthForecast::Request GrowthForecast::Describe(const Demand& demand, size_t tenant) const {
  return {.tenant = tenant,
          .bin = OutputLengths::BinOf(demand.generated.value()),
          .age = demand.generated.value(),
          .length = static_cast<double>(demand.length().value()) + half_block_,
          .longest = static_cast<double>((demand.prompt + demand.max_new).value()) + half_block_};
}

bool GrowthForecast::Fits(const Demand& more, double deviations) const {
  const Request request = Describe(more, TenantOf(more.tenant));
  if (longest_ + request.longest <= room_) return true;
  const OutputLengths::Survival& survival =
      tenants_[request.tenant].lengths->Survivors(request.bin);
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
  Sums& sums = tenants_[request.tenant].bins[static_cast<size_t>(request.bin)];
  const auto factor = static_cast<double>(sign);
  sums.requests += sign;
  sums.length += factor * request.length;
  sums.square += factor * request.length * request.length;
  if (sums.requests == 0) sums = {};  // leave no rounding behind
}

void GrowthForecast::Count(const Request& request, double sign) {
  const OutputLengths::Survival& survival =
      tenants_[request.tenant].lengths->Survivors(request.bin);
  for (size_t k = 0; k < kHorizons; ++k) {
    const double need = request.length + static_cast<double>(OutputLengths::kHorizons[k]);
    mean_[k] += sign * survival[k] * need;
    variance_[k] += sign * survival[k] * (1 - survival[k]) * need * need;
  }
  length_ += sign * request.length;
  longest_ += sign * request.longest;
}

GrowthForecast::Place GrowthForecast::Add(const Demand& demand) {
  const Request request = Describe(demand, AddTenant(demand.tenant));
  CountInBin(request, 1);
  Count(request, 1);
  ++running_;
  if (unused_.empty()) {
    requests_.push_back(request);
    return requests_.size() - 1;
  }
  const Place place = unused_.back();
  unused_.pop_back();
  requests_[place] = request;
  return place;
}

void GrowthForecast::Grew(Place place) {
  Request& request = requests_[place];
  if (request.age == OutputLengths::StartOf(request.bin)) {
    tenants_[request.tenant].lengths->Entered(request.bin);
    if (request.tenant != 0) tenants_[0].lengths->Entered(request.bin);
  }
  CountInBin(request, -1);
  request.bin = OutputLengths::BinOf(++request.age);
  request.length += 1;
  length_ += 1;
  CountInBin(request, 1);
}

void GrowthForecast::End(Place place) {
  const Request& request = requests_[place];
  const int last = OutputLengths::BinOf(std::max<int64_t>(request.age - 1, 0));
  for (Tenant* tenant : {&tenants_[0], &tenants_[request.tenant]}) {
    tenant->lengths->Ended(last);
    ++tenant->ends;
    if (request.tenant == 0) break;
  }
  Remove(place);
}

void GrowthForecast::CutOff(Place place) { Remove(place); }

void GrowthForecast::Remove(Place place) {
  PLIMSOLL_CHECK(running_ > 0, place);
  CountInBin(requests_[place], -1);
  Count(requests_[place], -1);
  --running_;
  unused_.push_back(place);
}

void GrowthForecast::Refresh() {
  mean_ = {};
  variance_ = {};
  length_ = 0;
  for (Tenant& tenant : tenants_) {
    if (tenant.ends >= kEndsToLearn) {
      tenant.lengths->Learn();
      tenant.ends = 0;
    }
    for (int bin = 0; bin < OutputLengths::kBins; ++bin) {
      const Sums& sums = tenant.bins[static_cast<size_t>(bin)];
      if (sums.requests == 0) continue;
      const OutputLengths::Survival& survival = tenant.lengths->Survivors(bin);
      length_ += sums.length;
      for (size_t k = 0; k < kHorizons; ++k) {
        const double steps = static_cast<double>(OutputLengths::kHorizons[k]);
        const auto requests = static_cast<double>(sums.requests);
        mean_[k] += survival[k] * (sums.length + requests * steps);
        variance_[k] += survival[k] * (1 - survival[k]) *
                        (sums.square + steps * (2 * sums.length + requests * steps));
      }
    }
  }
}

}  // namespace plimsoll
