// How a class of requests tells its policy of steps, from reports that come one by one.
#include "kvcache/admission/policy_set.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace plimsoll {
namespace {

// Writes down what it is told of steps.
class Listening final : public AdmissionPolicy {
 public:
  explicit Listening(std::vector<bool>& steps) : steps_(steps) {}
  Blocks AtStart(const Demand&) const override { return Blocks(1); }
  bool MayStart(const Demand&, Blocks) const override { return true; }
  Place Started(const Demand&) override { return 0; }
  void Ended(Place) override {}
  void Preempted(Place) override {}
  void Stepped(bool overflowed) override { steps_.push_back(overflowed); }

 private:
  std::vector<bool>& steps_;
};

class RequestClassSteps : public testing::Test {
 protected:
  void Start(int requests) {
    for (int i = 0; i < requests; ++i) class_.Start({.prompt = Tokens(1), .max_new = Tokens(9)});
  }
  void Grow(int reports) {
    for (int i = 0; i < reports; ++i) class_.Grow(0, Tokens(1));
  }

  std::vector<bool> steps_;
  RequestClass class_{"chat", {.policy = Policy::kQuantile}, std::make_unique<Listening>(steps_)};
};

using Steps = std::vector<bool>;

TEST_F(RequestClassSteps, AStepIsOverWhenAsManyReportedAsThereAre) {
  Start(3);
  Grow(2);
  EXPECT_EQ(steps_, Steps{});
  Grow(1);
  EXPECT_EQ(steps_, Steps{false});
  Grow(6);
  EXPECT_EQ(steps_, (Steps{false, false, false}));
}

TEST_F(RequestClassSteps, WhatOverflowsWithinAStepCountsOnceAndAtOnce) {
  Start(4);
  Grow(1);
  class_.Overflow();
  EXPECT_EQ(steps_, Steps{true}) << "the policy is warned before the step is over";
  class_.Overflow();
  Grow(1);
  EXPECT_EQ(steps_, Steps{true}) << "the step is over, and was told of";
  class_.Overflow();
  EXPECT_EQ(steps_, (Steps{true, true})) << "the next step";
}

}  // namespace
}  // namespace plimsoll
