// The policies of one server: one for requests that name no class, one for each class.
//
// All requests that are promised less than the whole grow into the same free blocks, so one
// forecast holds them all, whatever their class: quantile classes differ in how careful they are,
// and what runs under a watermark counts too. What is promised in full to others, and what is kept
// for tenants, is no room of theirs.
//
// Classes may change while requests run: what does not change goes on, and a class that is gone, or
// is under another policy, stays for those who run or wait under it and is nobody else's.
//
// A step of a class is over when as many extensions were reported as it has requests; what
// overflows within one step counts once.
//
// Threads: none; the owner serialises calls. Cost: as admission_policy.h says; Find looks at
// 17 names at most.
// Errors: InvalidArgument from Create, naming the class and the field.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "kvcache/admission/admission_policy.h"
#include "kvcache/admission/growth_forecast.h"

namespace plimsoll {

class RequestClass {
 public:
  RequestClass(std::string name, const PolicyOptions& options,
               std::unique_ptr<AdmissionPolicy> policy)
      : name_(std::move(name)), options_(options), policy_(std::move(policy)) {}

  const std::string& name() const { return name_; }
  // Its requests are promised all they may ever use.
  bool promises_whole() const { return options_.policy == Policy::kNeverEvict; }
  const PolicyOptions& options() const { return options_; }
  bool offered() const { return offered_; }  // to newcomers
  void Retire() { offered_ = false; }
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
  PolicyOptions options_;
  bool offered_ = true;
  std::unique_ptr<AdmissionPolicy> policy_;
  int64_t running_ = 0;
  int64_t reported_ = 0;     // extensions in this step
  bool overflowed_ = false;  // in this step
};

class PolicySet {
 public:
  static absl::StatusOr<PolicySet> Create(const PolicyOptions& server,
                                          const std::map<std::string, PolicyOptions>& classes,
                                          Blocks total, Tokens block_tokens) {
    return Create(server, classes, total, block_tokens, nullptr);
  }
  // A set to Replace this one with. FailedPrecondition where a forecast is wanted for the first
  // time while requests run that it would not know of, or `others` that may go on under a class of
  // now: those that stand still, and those that wait under a class that goes.
  absl::StatusOr<PolicySet> Successor(const PolicyOptions& server,
                                      const std::map<std::string, PolicyOptions>& classes,
                                      Blocks total, Tokens block_tokens, int64_t others) const;
  // From now on this one, which Successor made; `in_use` says whose classes are still wanted.
  // Classes that are, and those that did not change, stay where they are.
  void Replace(PolicySet successor, const std::function<bool(const RequestClass&)>& in_use);

  // Null where there is no such class; the server's own where the name is empty. Of two of one
  // name, the one that is offered.
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
  static absl::StatusOr<PolicySet> Create(const PolicyOptions& server,
                                          const std::map<std::string, PolicyOptions>& classes,
                                          Blocks total, Tokens block_tokens,
                                          std::shared_ptr<GrowthForecast> forecast);

  std::shared_ptr<GrowthForecast> forecast_;  // null where no class asks it
  std::list<RequestClass> classes_;           // the first is the server's, the last are retired
};

}  // namespace plimsoll
