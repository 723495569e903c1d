#include "kvcache/admission/admission_policy.h"

#include <string>
#include <utility>

#include "kvcache/admission/quantile_policy.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

constexpr std::pair<Policy, std::string_view> kNames[] = {{Policy::kNeverEvict, "never-evict"},
                                                          {Policy::kWatermark, "watermark"},
                                                          {Policy::kQuantile, "quantile"}};

class NeverEvictPolicy final : public AdmissionPolicy {
 public:
  explicit NeverEvictPolicy(Tokens block_tokens) : block_tokens_(block_tokens) {}

  Blocks AtStart(const Demand& demand) const override {
    return BlocksForSequence(demand.prompt + demand.max_new, block_tokens_);
  }
  bool MayStart(const Demand& demand, Blocks free) const override {
    return AtStart(demand) <= free;
  }
  Place Started(const Demand&) override { return 0; }
  void Ended(Place) override {}
  void Preempted(Place) override { PLIMSOLL_CHECK(false, "never-evict preempts nothing"); }

 private:
  const Tokens block_tokens_;
};

class WatermarkPolicy final : public AdmissionPolicy {
 public:
  WatermarkPolicy(double share, Blocks total, Tokens block_tokens,
                  std::shared_ptr<GrowthForecast> forecast)
      : share_(share), block_tokens_(block_tokens), forecast_(std::move(forecast)) {
    Resized(total);
  }

  Blocks AtStart(const Demand& demand) const override {
    return BlocksForSequence(demand.first_step(), block_tokens_);
  }
  bool MayStart(const Demand& demand, Blocks free) const override {
    return AtStart(demand) + (running_ > 0 ? kept_free_ : Blocks(0)) <= free;
  }
  Place Started(const Demand& demand) override {
    ++running_;
    return forecast_ == nullptr ? 0 : forecast_->Add(demand);
  }
  void Grew(Place place, Tokens more) override {
    if (forecast_ != nullptr) forecast_->Grew(place, more);
  }
  void Ended(Place place) override {
    Leave();
    if (forecast_ != nullptr) forecast_->End(place);
  }
  void Preempted(Place place) override {
    Leave();
    if (forecast_ != nullptr) forecast_->CutOff(place);
  }
  void Resized(Blocks total) override {
    kept_free_ = Blocks(static_cast<int64_t>(share_ * static_cast<double>(total.value())));
  }
  void Stepped(bool) override {
    if (forecast_ != nullptr) forecast_->Refresh();
  }

 private:
  void Leave() {
    PLIMSOLL_CHECK(running_ > 0);
    --running_;
  }

  const double share_;  // of the pool
  Blocks kept_free_;
  const Tokens block_tokens_;
  const std::shared_ptr<GrowthForecast> forecast_;  // of others that ask it; may be null
  int64_t running_ = 0;
};

absl::Status Check(const PolicyOptions& options) {
  if (!(options.watermark >= 0 && options.watermark < 1)) {
    return BadField("watermark", std::to_string(options.watermark), "0 or more, less than 1");
  }
  if (!(options.overflow_goal > 0 && options.overflow_goal <= 0.5)) {
    return BadField("overflow_goal", std::to_string(options.overflow_goal),
                    "more than 0, at most 0.5");
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view NameOf(Policy policy) {
  for (const auto& [value, name] : kNames) {
    if (value == policy) return name;
  }
  PLIMSOLL_CHECK(false, static_cast<int>(policy));
}

std::optional<Policy> PolicyFromName(std::string_view name) {
  for (const auto& [value, known] : kNames) {
    if (known == name) return value;
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<AdmissionPolicy>> AdmissionPolicy::Create(
    const PolicyOptions& options, Blocks total, Tokens block_tokens,
    std::shared_ptr<GrowthForecast> forecast) {
  PLIMSOLL_RETURN_IF_ERROR(Check(options));
  std::unique_ptr<AdmissionPolicy> policy;
  switch (options.policy) {
    case Policy::kNeverEvict:
      policy = std::make_unique<NeverEvictPolicy>(block_tokens);
      break;
    case Policy::kWatermark:
      policy = std::make_unique<WatermarkPolicy>(options.watermark, total, block_tokens,
                                                 std::move(forecast));
      break;
    case Policy::kQuantile:
      if (forecast == nullptr) forecast = std::make_shared<GrowthForecast>(total, block_tokens);
      policy = std::make_unique<QuantilePolicy>(options.overflow_goal, block_tokens,
                                                std::move(forecast));
      break;
  }
  return policy;
}

}  // namespace plimsoll
