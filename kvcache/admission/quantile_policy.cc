#include "kvcache/admission/quantile_policy.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

// How many standard deviations above the mean a normal variable lies with probability `tail`.
double NormalDeviations(double tail) {
  double low = 0, high = QuantilePolicy::kMost;
  for (int i = 0; i < 50; ++i) {
    const double middle = (low + high) / 2;
    const double beyond = std::erfc(middle / std::sqrt(2.0)) / 2;
    (beyond > tail ? low : high) = middle;
  }
  return low;
}

}  // namespace

QuantilePolicy::QuantilePolicy(double goal, Tokens block_tokens,
                               std::shared_ptr<GrowthForecast> forecast)
    : goal_(goal),
      block_tokens_(block_tokens),
      forecast_(std::move(forecast)),
      deviations_(NormalDeviations(goal)) {}

Blocks QuantilePolicy::AtStart(const Demand& demand) const {
  return BlocksForSequence(demand.first_step(), block_tokens_);
}

// Whoever would be alone starts as soon as it has room at all.
bool QuantilePolicy::MayStart(const Demand& demand, Blocks free) const {
  if (AtStart(demand) > free) return false;
  return forecast_->running() == 0 || forecast_->Fits(demand, deviations_);
}

AdmissionPolicy::Place QuantilePolicy::Started(const Demand& demand) {
  decided_ = true;
  return forecast_->Add(demand);
}

void QuantilePolicy::Stepped(bool overflowed) {
  if (decided_) deviations_ -= kGain * kAim * goal_;
  if (overflowed) deviations_ += kGain;
  deviations_ = std::clamp(deviations_, kFewest, kMost);
  decided_ = false;
  forecast_->Refresh();
}

}  // namespace plimsoll
