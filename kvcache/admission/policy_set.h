// The policies of one server: one for requests that name no class, one for each class.
//
// All requests that are promised less than the whole grow into the same free blocks, so one
// forecast holds them all, whatever their class: quantile classes differ in how careful they are,
// and what runs under a watermark counts too. What is promised in full to others, and what is kept
// for tenants, is no room of theirs.
//
// A step of a class is over when as many extensions were reported as it has requests; what
// overflows within one step counts once.
//
// Threads: none; the owner serialises calls. Cost: as admission_policy.h says; Find looks at
// 17 names at most.
// Errors: InvalidArgument from Create, naming the class and the field.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/admission/admission_policy.h"
#include "kvcache/admission/growth_forecast.h"

namespace plimsoll {

class RequestClass {
 public:
  RequestClass(std::string name, Policy kind, std::unique_ptr<AdmissionPolicy> policy)
      : name_(std::move(name)), kind_(kind), policy_(std::move(policy)) {}

  const std::string& name() const { return name_; }
  // Its requests are promised all they may ever use.
  bool promises_whole() const { return kind_ == Policy::kNeverEvict; }
  const AdmissionPolicy& policy() const { return *policy_; }
  int64_t running() const { return running_; }

  void Resized(Blocks total) { policy_->Resized(total); }
  AdmissionPolicy::Place Start(const Demand& demand);
  void End(AdmissionPolicy::Place place, bool cut_off);
  void Grow(AdmissionPolicy::Place place, Tokens more);
  // A holder was refused room to grow.
  void Overflow();

 private:
  void Reported(bool overflowed);

  std::string name_;
  Policy kind_;
  std::unique_ptr<AdmissionPolicy> policy_;
  int64_t running_ = 0;
  int64_t reported_ = 0;     // extensions in this step
  bool overflowed_ = false;  // in this step
};

class PolicySet {
 public:
  static absl::StatusOr<PolicySet> Create(const PolicyOptions& server,
                                          const std::map<std::string, PolicyOptions>& classes,
                                          Blocks total, Tokens block_tokens);

  // Null where there is no such class; the server's own where the name is empty.
  RequestClass* Find(std::string_view name);
  const RequestClass* Find(std::string_view name) const;
  // "want one of chat, batch", for a message.
  std::string Known() const;

  // Requests that are promised less than the whole.
  bool all_promise_whole() const;
  int64_t growing() const;
  // The pool is of so many blocks now.
  void Resized(Blocks total);
  // Blocks that they share.
  void SetRoom(Blocks room);

 private:
  PolicySet() = default;

  std::shared_ptr<GrowthForecast> forecast_;  // null where no class asks it
  std::vector<RequestClass> classes_;         // the first is the server's
};

}  // namespace plimsoll
