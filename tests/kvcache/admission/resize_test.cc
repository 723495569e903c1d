// A pool that grows and shrinks under its holders: who may stay, who is told what.
#include <gmock/gmock.h>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ResizeTest : public AdmissionTest {
 protected:
  ResizeTest() {
    cache_ = Must(KvCache::Create({.capacity = Blocks(10), .most = Blocks(20)}));
    Restart({.epoch = "e1"});
  }

  absl::StatusOr<PoolResized> Resize(int64_t total) {
    return admission_->Resize(Blocks(total), [this](Blocks, std::span<const BlockMove>) {
      ++prepared_;
      return absl::OkStatus();
    });
  }

  int prepared_ = 0;
};

TEST_F(ResizeTest, WhatIsHeldStaysAndHeadroomFollows) {
  Hold(4);
  EXPECT_EQ(Must(Resize(5)), (PoolResized{.before = Blocks(10), .now = Blocks(5)}));
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(1));
  EXPECT_EQ(admission_->published().Read().blocks.total, Blocks(5)) << "it was published";
  EXPECT_EQ(Must(Resize(20)).before, Blocks(5));
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(16));
  Hold(16);
  admission_->CheckInvariants();
}

TEST_F(ResizeTest, ARefusalSaysTheNumbersAndChangesNothing) {
  Hold(4);
  const AdmissionSnapshot before = admission_->Snapshot();
  const absl::Status status = Resize(3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("a pool of 3 blocks is too small: it needs "
                                                       "at least 4 (live 0, reserved 4"));
  for (const int64_t wrong : {0, 21}) {
    const absl::Status bad = Resize(wrong).status();
    EXPECT_EQ(bad.message(), "total_blocks=" + std::to_string(wrong) +
                                 ": want 1 to 20, the most that the pool may have");
  }
  EXPECT_EQ(admission_->Snapshot(), before);
  EXPECT_EQ(prepared_, 0);
}

TEST_F(ResizeTest, WhereThereIsNoMemoryThePoolStaysAsItIs) {
  Hold(4);
  const AdmissionSnapshot before = admission_->Snapshot();
  const auto resized = admission_->Resize(Blocks(20), [](Blocks total, std::span<const BlockMove>) {
    EXPECT_EQ(total, Blocks(20));
    return absl::ResourceExhaustedError("none left");
  });
  EXPECT_EQ(resized.status(), absl::ResourceExhaustedError("none left"));
  EXPECT_EQ(admission_->Snapshot(), before);
  admission_->CheckInvariants();
}

TEST_F(ResizeTest, WhatIsGuaranteedToTenantsStays) {
  Restart({.epoch = "e1", .quotas = {.tenants = {{"a", {.guaranteed = Blocks(3)}}}}});
  Hold(4);
  EXPECT_THAT(std::string(Resize(6).status().message()), HasSubstr("at least 7"));
  EXPECT_TRUE(Resize(7).ok());
  EXPECT_TRUE(IsAdmitted(Must(admission_->Reserve(RequestOf(48, 0, "a")))));
}

// Room for one block was promised, and it may come to need five.
TEST_F(ResizeTest, WhoMayStillGrowKeepsRoomToEnd) {
  Restart({.epoch = "e1", .policy = {.policy = Policy::kWatermark, .watermark = 0.25}});
  const std::string id = std::get<Reservation>(Must(admission_->Reserve(RequestOf(8, 72)))).id;
  EXPECT_THAT(std::string(Resize(4).status().message()),
              HasSubstr("at least 5 (live 0, reserved 1"));
  ASSERT_TRUE(Resize(5).ok());
  EXPECT_TRUE(IsAdmitted(Must(admission_->Extend(id, Tokens(80)))));
}

// A quarter stays free where anybody runs: two blocks of ten, five of twenty.
TEST_F(ResizeTest, AWatermarkIsAShareOfThePoolAsItIsNow) {
  Restart({.epoch = "e1", .policy = {.policy = Policy::kWatermark, .watermark = 0.25}});
  Hold(1);
  ASSERT_TRUE(Resize(20).ok());
  EXPECT_FALSE(IsAdmitted(Must(Ask(15))));
  EXPECT_TRUE(IsAdmitted(Must(Ask(14))));
}

TEST_F(ResizeTest, WhoWaitsIsServedAtOnceByAPoolThatGrows) {
  Hold(8);
  Queue("first", 4);
  EXPECT_THAT(Answered(), ElementsAre());
  ASSERT_TRUE(Resize(12).ok());
  EXPECT_THAT(Answered(), ElementsAre("first"));
}

TEST_F(ResizeTest, WhoWaitsForMoreThanThereIsNowIsToldNever) {
  Hold(5);
  Queue("large", 9);
  Queue("small", 2, "b");
  ASSERT_TRUE(Resize(8).ok());
  EXPECT_THAT(Answered(), ElementsAre("large:NEVER_FITS", "small"));
  EXPECT_EQ(admission_->Snapshot().refused_never, 1);
}

}  // namespace
}  // namespace plimsoll
