// What the loop asks of admission while sequences run: to grow, to be suspended, to resume.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

constexpr PolicyOptions kNoWatermark{.policy = Policy::kWatermark, .watermark = 0};

class SequenceCallsTest : public AdmissionTest {
 protected:
  void Use(const PolicyOptions& policy, const Quotas& quotas = {}) {
    Restart(
        {.epoch = "e1", .confirm_window = Duration::zero(), .policy = policy, .quotas = quotas});
  }
  // Reserves and begins.
  std::string Running(int64_t prompt, int64_t max_new, const std::string& tenant = {}) {
    const auto held =
        std::get<Reservation>(Must(admission_->Reserve(RequestOf(prompt, max_new, tenant))));
    Must(admission_->BeginSequence(held.id));
    return held.id;
  }
  Reason Grow(const std::string& id, int64_t total) {
    const Reason reason = admission_->GrowSequence(id, Tokens(total));
    admission_->CheckInvariants();
    return reason;
  }
  void Suspend(const std::string& id) {
    admission_->SuspendSequence(id);
    admission_->CheckInvariants();
  }
  Reason Resume(const std::string& id) {
    const Reason reason = admission_->ResumeSequence(id);
    admission_->CheckInvariants();
    return reason;
  }
};

// Ten blocks of 16: A takes 4 and grows to 6, B has 4; then A needs one more.
TEST_F(SequenceCallsTest, OneIsSuspendedForAnotherAndComesBeforeWhoWaits) {
  Use(kNoWatermark);
  const std::string a = Running(63, 97), b = Running(63, 97);
  EXPECT_EQ(Grow(a, 96), Reason::kNone);
  EXPECT_EQ(free(), Blocks(0));
  EXPECT_EQ(Grow(a, 97), Reason::kNoFreeBlocks);
  Suspend(b);
  EXPECT_EQ(admission_->Snapshot().preempted, 1);
  EXPECT_EQ(admission_->Snapshot().reservations, 2) << "it is still held";
  EXPECT_EQ(Grow(a, 97), Reason::kNone);
  EXPECT_EQ(free(), Blocks(3));
  EXPECT_EQ(Resume(b), Reason::kNoFreeBlocks) << "63 tokens and one take 4";
  EXPECT_EQ(Refused(RequestOf(1, 1)).reason, Reason::kNoFreeBlocks) << "B is before all others";
  Queue("waits", 1);
  EXPECT_TRUE(answers_.empty());
  admission_->EndSequence(a);
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(Resume(b), Reason::kNone);
  EXPECT_THAT(Answered(), testing::ElementsAre("waits"));
  EXPECT_EQ(Must(admission_->Get(b)).blocks, Blocks(4));
  admission_->EndSequence(b);
}

TEST_F(SequenceCallsTest, WhoIsSuspendedNeedsRoomForWhatItGenerated) {
  Use(kNoWatermark);
  const std::string b = Running(15, 100);
  EXPECT_EQ(Grow(b, 33), Reason::kNone) << "18 more";
  Suspend(b);
  EXPECT_EQ(free(), Blocks(10));
  EXPECT_EQ(Resume(b), Reason::kNone);
  EXPECT_EQ(Must(admission_->Get(b)).blocks, Blocks(3)) << "33 tokens and one";
}

// 20 tokens in two blocks of 16.
TEST_F(SequenceCallsTest, TheSnapshotSaysWhatOfLiveBlocksIsNotFilled) {
  Use({});
  const auto held = std::get<Reservation>(Must(admission_->Reserve(RequestOf(20, 10))));
  const SequenceId sequence = Must(admission_->BeginSequence(held.id));
  EXPECT_EQ(admission_->Snapshot().unfilled, Tokens(0)) << "nothing is live";
  cache_->Commit(*cache_->PlanAppend(sequence, Tokens(20)));
  admission_->Advance();
  EXPECT_EQ(admission_->published().Read().unfilled, Tokens(12));
  EXPECT_EQ(admission_->published().Read().blocks.live, Blocks(2));
  admission_->EndSequence(held.id);
  EXPECT_EQ(admission_->published().Read().unfilled, Tokens(0));
}

TEST_F(SequenceCallsTest, WhoEndsWhileSuspendedLeavesNothingBehind) {
  Use({.policy = Policy::kQuantile, .overflow_goal = 0.5});
  const std::string a = Running(31, 40), b = Running(31, 40);
  Suspend(b);
  EXPECT_TRUE(admission_->Release(b).ok());
  EXPECT_TRUE(admission_->StopRequested(b));
  admission_->EndSequence(b);
  admission_->EndSequence(a);
  admission_->CheckInvariants();
  EXPECT_EQ(free(), Blocks(10));
  EXPECT_TRUE(IsAdmitted(Must(Ask(1)))) << "nobody is suspended any more";
}

// Whoever holds the reservation may still ask for more, and must not get blocks that way.
TEST_F(SequenceCallsTest, AnExtensionOfWhoIsSuspendedPromisesNothing) {
  Use(kNoWatermark);
  const std::string a = Running(63, 97), b = Running(15, 40);
  Suspend(b);
  const Answer same = Must(admission_->Extend(b, Tokens(55)));
  ASSERT_TRUE(IsAdmitted(same));
  EXPECT_EQ(std::get<Reservation>(same).blocks, Blocks(0));
  const Answer more = Must(admission_->Extend(b, Tokens(56)));
  ASSERT_FALSE(IsAdmitted(more));
  EXPECT_EQ(std::get<Refusal>(more).decision, Decision::kWait);
  EXPECT_EQ(std::get<Refusal>(Must(admission_->Extend(b, Tokens(161)))).decision, Decision::kNever);
  EXPECT_EQ(free(), Blocks(6));
  EXPECT_EQ(Resume(b), Reason::kNone);
  EXPECT_TRUE(IsAdmitted(Must(admission_->Extend(b, Tokens(56))))) << "now it may";
}

// A and B generate a token a second, B with ten seconds in between in which it is suspended. Then B
// may generate 25 more, and gives back two of the five blocks that the two have of their eight.
TEST_F(SequenceCallsTest, TheTimeSuspendedIsNoPartOfThePace) {
  Use(kNoWatermark, {.tenants = {{"x", {.most = Blocks(8)}}}});
  const std::string a = Running(31, 65, "x"), b = Running(15, 30, "x");
  int64_t of_a = 0, of_b = 0;
  const auto generate = [&](bool both) {
    clock_.Advance(seconds(1));
    EXPECT_EQ(Grow(a, 31 + ++of_a), Reason::kNone);
    if (!both) return;
    EXPECT_EQ(Grow(b, 15 + ++of_b), Reason::kNone);
  };
  for (int i = 0; i < 3; ++i) generate(true);
  Suspend(b);
  for (int i = 0; i < 10; ++i) generate(false);
  EXPECT_EQ(Resume(b), Reason::kNone);
  for (int i = 0; i < 2; ++i) generate(true);
  const Refusal refusal = Refused(RequestOf(64, 0, "x"));
  EXPECT_EQ(refusal.reason, Reason::kTenantQuota);
  EXPECT_NEAR(std::chrono::duration<double>(refusal.retry_after).count(), 25, 4.5);
}

// X may have 5 blocks, Y is guaranteed 4. X's second sequence makes room for its first; Y's does
// not, for what is Y's is no use to X.
TEST_F(SequenceCallsTest, AVictimIsOneWhoseRoomTheOtherMayHave) {
  Use(kNoWatermark, {.tenants = {{"x", {.most = Blocks(5)}}, {"y", {.guaranteed = Blocks(4)}}}});
  const std::string x1 = Running(31, 40, "x"), x2 = Running(31, 40, "x");
  const std::string y = Running(31, 40, "y"), z = Running(15, 40, "z");
  EXPECT_EQ(Grow(x1, 48), Reason::kNone);
  EXPECT_EQ(Grow(x1, 49), Reason::kTenantQuota);
  EXPECT_TRUE(admission_->GivesWay(x2, x1, Reason::kTenantQuota));
  EXPECT_FALSE(admission_->GivesWay(z, x1, Reason::kTenantQuota));
  EXPECT_FALSE(admission_->GivesWay(y, x1, Reason::kNoFreeBlocks)) << "in what is its own";
  EXPECT_TRUE(admission_->GivesWay(z, x1, Reason::kNoFreeBlocks));
  Suspend(x2);
  EXPECT_EQ(Grow(x1, 49), Reason::kNone);
  EXPECT_EQ(Resume(x2), Reason::kTenantQuota);
  EXPECT_TRUE(IsAdmitted(Must(admission_->Reserve(RequestOf(16, 0, "y"))))) << "in its own";
  admission_->EndSequence(x1);
  EXPECT_EQ(Resume(x2), Reason::kNone);
}

TEST_F(SequenceCallsTest, MisuseAborts) {
  Use(kNoWatermark);
  const std::string a = Running(16, 16);
  EXPECT_DEATH(admission_->GrowSequence(a, Tokens(33)), "check failed");
  EXPECT_DEATH(static_cast<void>(admission_->ResumeSequence(a)), "check failed");
  Suspend(a);
  EXPECT_DEATH(admission_->SuspendSequence(a), "check failed");
  EXPECT_DEATH(admission_->GrowSequence("e1-9", Tokens(1)), "no sequence runs|NOT_FOUND|check");
}

}  // namespace
}  // namespace plimsoll
