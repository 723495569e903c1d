// The quantile policy: starts a request when what runs will then outgrow the pool only rarely.
//
// GrowthForecast says what running requests need some steps from now: a mean, and how far from it
// things may go. How many standard deviations of that are kept free is not a constant. It begins
// where a normal distribution says, and then follows what really happens: each overflow adds kGain
// deviations, each decision to start something takes a share of that away, so that the two balance
// where overflows are kAim times the goal. So the forecast need not be right, only useful: whatever
// it says, after n decisions
//
//   overflows <= kAim * goal * n + (deviations now - deviations at first) / kGain + 1
//
// as long as the deviations stay within their bounds. What starts between two steps is one
// decision, and what overflows between two steps is one overflow, so the frequency is held both by
// requests and by steps.
//
// Threads, errors: see admission_policy.h. Cost: as growth_forecast.h says; Stepped refreshes it.
#pragma once

#include <memory>

#include "kvcache/admission/growth_forecast.h"

namespace plimsoll {

class QuantilePolicy final : public AdmissionPolicy {
 public:
  static constexpr double kGain = 0.15;
  static constexpr double kAim = 0.8;
  static constexpr double kFewest = -3;
  static constexpr double kMost = 6;

  // `goal` in (0, 0.5]: overflows for each decision.
  QuantilePolicy(double goal, Blocks total, Tokens block_tokens)
      : QuantilePolicy(goal, block_tokens, std::make_shared<GrowthForecast>(total, block_tokens)) {}
  // The forecast may be shared with other policies,
  // whose requests it then holds too.
  QuantilePolicy(double goal, Tokens block_tokens, std::shared_ptr<GrowthForecast> forecast);

  Blocks AtStart(const Demand& demand) const override;
  bool MayStart(const Demand& demand, Blocks free) const override;
  Place Started(const Demand& demand) override;
  void Grew(Place place, Tokens more) override { forecast_->Grew(place, more); }
  void Ended(Place place) override { forecast_->End(place); }
  void Preempted(Place place) override { forecast_->CutOff(place); }
  void Stepped(bool overflowed) override;

  double deviations() const { return deviations_; }

 private:
  const double goal_;
  const Tokens block_tokens_;
  const std::shared_ptr<GrowthForecast> forecast_;
  double deviations_;
  bool decided_ = false;  // something started since the last step
};

}  // namespace plimsoll
