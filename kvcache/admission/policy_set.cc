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
                                            Blocks total, Tokens block_tokens) {
  if (classes.size() > kMostClasses) {
    return BadField("classes", static_cast<int64_t>(classes.size()), "at most 16");
  }
  PolicySet set;
  const auto is_quantile = [](const auto& c) { return c.second.policy == Policy::kQuantile; };
  if (server.policy == Policy::kQuantile ||
      std::any_of(classes.begin(), classes.end(), is_quantile)) {
    set.forecast_ = std::make_shared<GrowthForecast>(total, block_tokens);
  }
  const auto add = [&](const std::string& name, const PolicyOptions& options) {
    auto policy = AdmissionPolicy::Create(options, total, block_tokens, set.forecast_);
    if (!policy.ok()) return policy.status();
    set.classes_.emplace_back(name, options.policy, *std::move(policy));
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
  if (classes_.size() == 1) return "none, as this server has no classes";
  std::string known;
  for (size_t i = 1; i < classes_.size(); ++i) known += (i > 1 ? ", " : "") + classes_[i].name();
  return "none or one of " + known;
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
