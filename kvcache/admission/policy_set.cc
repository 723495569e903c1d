#include "kvcache/admission/policy_set.h"

#include <algorithm>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr size_t kMostClasses = 16;
constexpr size_t kLongestName = 128;

}  // namespace

AdmissionPolicy::Place RequestClass::Start(const Demand& demand) {
  ++running_;
  return policy_->Started(demand);
}

void RequestClass::End(AdmissionPolicy::Place place, bool cut_off) {
  PLIMSOLL_CHECK(running_ > 0, name_);
  --running_;
  if (cut_off && !promises_whole()) return policy_->Preempted(place);
  policy_->Ended(place);
}

void RequestClass::Grow(AdmissionPolicy::Place place, Tokens more) {
  policy_->Grew(place, more);
  Reported(false);
}

void RequestClass::Overflow() { Reported(true); }

void RequestClass::Reported(bool overflowed) {
  if (overflowed && !overflowed_) policy_->Stepped(true);
  overflowed_ = overflowed_ || overflowed;
  if (++reported_ < running_) return;
  if (!overflowed_) policy_->Stepped(false);
  reported_ = 0;
  overflowed_ = false;
}

absl::StatusOr<PolicySet> PolicySet::Create(const PolicyOptions& server,
                                            const std::map<std::string, PolicyOptions>& classes,
                                            Blocks total, Tokens block_tokens,
                                            std::shared_ptr<GrowthForecast> forecast) {
  if (classes.size() > kMostClasses) {
    return BadField("classes", static_cast<int64_t>(classes.size()), "at most 16");
  }
  PolicySet set;
  set.forecast_ = std::move(forecast);
  const auto is_quantile = [](const auto& c) { return c.second.policy == Policy::kQuantile; };
  const bool wanted = server.policy == Policy::kQuantile ||
                      std::any_of(classes.begin(), classes.end(), is_quantile);
  if (wanted && set.forecast_ == nullptr) {
    set.forecast_ = std::make_shared<GrowthForecast>(total, block_tokens);
  }
  const auto add = [&](const std::string& name, const PolicyOptions& options) {
    auto policy = AdmissionPolicy::Create(options, total, block_tokens, set.forecast_);
    if (!policy.ok()) return policy.status();
    set.classes_.emplace_back(name, options, *std::move(policy));
    return absl::OkStatus();
  };
  PLIMSOLL_RETURN_IF_ERROR(add("", server));
  for (const auto& [name, options] : classes) {
    if (name.empty() || name.size() > kLongestName) {
      return BadField("classes", Excerpt(name), "names of 1 to 128 bytes");
    }
    const absl::Status added = add(name, options);
    if (!added.ok()) return Annotate(added, "classes." + Excerpt(name));
  }
  return set;
}

absl::StatusOr<PolicySet> PolicySet::Successor(const PolicyOptions& server,
                                               const std::map<std::string, PolicyOptions>& classes,
                                               Blocks total, Tokens block_tokens,
                                               int64_t others) const {
  absl::StatusOr<PolicySet> made = Create(server, classes, total, block_tokens, forecast_);
  const int64_t unknown = growing() + others;
  if (made.ok() && forecast_ == nullptr && made->forecast_ != nullptr && unknown > 0) {
    return absl::FailedPreconditionError(
        "a quantile policy cannot begin while " + std::to_string(unknown) +
        " requests run or wait under a watermark that nobody forecast");
  }
  return made;
}

void PolicySet::Replace(PolicySet successor,
                        const std::function<bool(const RequestClass&)>& in_use) {
  const bool same_forecast = forecast_ == successor.forecast_;
  forecast_ = successor.forecast_;
  std::list<RequestClass> before = std::exchange(classes_, {});
  while (!successor.classes_.empty()) {
    const RequestClass& wanted = successor.classes_.front();
    const auto same = std::find_if(before.begin(), before.end(), [&](const RequestClass& its) {
      return its.offered() && its.name() == wanted.name() && its.options() == wanted.options() &&
             (same_forecast || its.promises_whole());
    });
    if (same == before.end()) {
      classes_.splice(classes_.end(), successor.classes_, successor.classes_.begin());
    } else {
      classes_.splice(classes_.end(), before, same);
      successor.classes_.pop_front();
    }
  }
  before.remove_if([&](const RequestClass& its) { return !in_use(its); });
  for (RequestClass& its : before) its.Retire();
  classes_.splice(classes_.end(), before);
}

RequestClass* PolicySet::Find(std::string_view name) {
  const auto found = std::find_if(classes_.begin(), classes_.end(),
                                  [&](const RequestClass& its) { return its.name() == name; });
  return found == classes_.end() ? nullptr : &*found;
}

const RequestClass* PolicySet::Find(std::string_view name) const {
  const auto found = std::find_if(classes_.begin(), classes_.end(),
                                  [&](const RequestClass& its) { return its.name() == name; });
  return found == classes_.end() ? nullptr : &*found;
}

std::string PolicySet::Known() const {
  std::string known;
  for (const RequestClass& its : classes_) {
    if (its.offered() && !its.name().empty()) known += (known.empty() ? "" : ", ") + its.name();
  }
  return known.empty() ? "none, as this server has no classes" : "none or one of " + known;
}

bool PolicySet::all_promise_whole() const {
  return std::all_of(classes_.begin(), classes_.end(),
                     [](const RequestClass& its) { return its.promises_whole(); });
}

int64_t PolicySet::growing() const {
  int64_t growing = 0;
  for (const RequestClass& its : classes_) growing += its.promises_whole() ? 0 : its.running();
  return growing;
}

void PolicySet::Resized(Blocks total) {
  for (RequestClass& its : classes_) its.Resized(total);
}

void PolicySet::SetRoom(Blocks room) {
  if (forecast_ != nullptr) forecast_->SetRoom(room);
}

}  // namespace plimsoll
