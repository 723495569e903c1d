// How long until blocks are back at the latest: the structure by itself, then what callers are
// told.
#include "kvcache/admission/remaining_tokens.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Instant At(int64_t s) { return Instant(seconds(s)); }

Blocks TenEach(int64_t) { return Blocks(10); }

TEST(RemainingTokens, KnowsNothingUntilAPaceIsReported) {
  RemainingTokens remaining(At(0));
  RemainingTokens::Place first;
  remaining.Set(1, first, Tokens(100), At(0));
  EXPECT_EQ(remaining.TimeFor(Blocks(1), At(0), TenEach), std::nullopt);
  remaining.Paced(Tokens(50), Duration::zero(), At(1));
  EXPECT_EQ(remaining.TimeFor(Blocks(1), At(1), TenEach), std::nullopt);
  remaining.Paced(Tokens(50), seconds(5), At(1));
  EXPECT_EQ(remaining.TimeFor(Blocks(1), At(1), TenEach), seconds(10));
}

// Ten tokens a second; three holders with 100, 200 and 300 to go.
TEST(RemainingTokens, AddsUpWhatComesBackInOrder) {
  RemainingTokens remaining(At(0));
  remaining.Paced(Tokens(100), seconds(10), At(0));
  RemainingTokens::Place first, second, third;
  remaining.Set(3, third, Tokens(300), At(0));
  remaining.Set(1, first, Tokens(100), At(0));
  remaining.Set(2, second, Tokens(200), At(0));
  EXPECT_EQ(remaining.TimeFor(Blocks(10), At(0), TenEach), seconds(10));
  EXPECT_EQ(remaining.TimeFor(Blocks(11), At(0), TenEach), seconds(20));
  EXPECT_EQ(remaining.TimeFor(Blocks(30), At(5), TenEach), seconds(25));
  EXPECT_EQ(remaining.TimeFor(Blocks(999), At(0), TenEach), seconds(30)) << "that is all there is";
  remaining.Set(1, first, Tokens(250), At(0));
  EXPECT_EQ(remaining.TimeFor(Blocks(10), At(0), TenEach), seconds(20));
  remaining.Remove(2, second);
  remaining.Remove(2, second);
  EXPECT_EQ(remaining.TimeFor(Blocks(10), At(0), TenEach), seconds(25));
  EXPECT_EQ(remaining.TimeFor(Blocks(10), At(99), TenEach), Duration::zero()) << "any moment";
}

TEST(RemainingTokens, FollowsAChangeOfPaceWithoutTouchingAnybody) {
  RemainingTokens remaining(At(0));
  remaining.Paced(Tokens(10), seconds(1), At(0));
  RemainingTokens::Place first;
  remaining.Set(1, first, Tokens(1000), At(0));
  for (int i = 1; i <= 2000; ++i) remaining.Paced(Tokens(20), seconds(1), At(10));
  const Duration time = *remaining.TimeFor(Blocks(1), At(10), TenEach);
  EXPECT_GT(time, milliseconds(44900)) << "a hundred are done, and the pace has doubled";
  EXPECT_LT(time, milliseconds(45100));
}

class EstimatedWait : public AdmissionTest {
 protected:
  EstimatedWait() {
    Restart({.epoch = "e1",
             .confirm_window = Duration::zero(),
             .quotas = {.tenants = {{"t", {.guaranteed = Blocks(0), .most = Blocks(5)}}}}});
  }
};

// A holder with ten blocks, twenty tokens a second, and a lease of thirty seconds.
TEST_F(EstimatedWait, IsWhatAHolderMayStillGenerateAtThePaceItHas) {
  const std::string id = std::get<Reservation>(Must(admission_->Reserve(RequestOf(40, 120)))).id;
  EXPECT_EQ(Refused(RequestOf(16, 0)).retry_after, seconds(30)) << "the lease";
  Must(admission_->Extend(id, Tokens(41)));
  clock_.Advance(seconds(1));
  Must(admission_->Extend(id, Tokens(61)));
  EXPECT_EQ(Refused(RequestOf(16, 0)).retry_after, milliseconds(4950)) << "99 of 120 are left";
  clock_.Advance(seconds(4));
  EXPECT_EQ(Refused(RequestOf(16, 0)).retry_after, milliseconds(950));
}

TEST_F(EstimatedWait, OfATenantAtItsMaximumCountsOnlyItsOwn) {
  const auto hold = [&](int64_t max_new, const std::string& tenant) {
    return std::get<Reservation>(Must(admission_->Reserve(RequestOf(16, max_new, tenant)))).id;
  };
  const std::string soon = hold(32, "x");
  hold(64, "t");
  Must(admission_->Extend(soon, Tokens(17)));
  clock_.Advance(seconds(1));
  Must(admission_->Extend(soon, Tokens(27)));  // ten a second
  EXPECT_EQ(Refused(RequestOf(16, 64, "y")).retry_after, milliseconds(2100));
  EXPECT_EQ(Refused(RequestOf(16, 0, "t")).retry_after, milliseconds(6400))
      << "its own has 64 to go";
}

}  // namespace
}  // namespace plimsoll
