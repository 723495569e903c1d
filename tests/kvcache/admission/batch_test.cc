// Several requests that are admitted together or not at all.
#include <gmock/gmock.h>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

class BatchTest : public AdmissionTest {
 protected:
  static ReservationRequest Of(int64_t blocks, std::string request_id = {}) {
    ReservationRequest request = RequestOf(16 * blocks, 0);
    request.request_id = std::move(request_id);
    return request;
  }
  BatchAnswer AskAll(const std::vector<ReservationRequest>& requests) {
    BatchAnswer answer = Must(admission_->ReserveAll(requests));
    admission_->CheckInvariants();
    return answer;
  }
  // Blocks of each; empty where one was refused.
  std::vector<int64_t> BlocksOf(const BatchAnswer& answer) {
    std::vector<int64_t> blocks;
    const auto* const granted = std::get_if<std::vector<Reservation>>(&answer);
    if (granted == nullptr) return blocks;
    for (const Reservation& each : *granted) blocks.push_back(each.blocks.value());
    return blocks;
  }
};

// Of ten blocks: 4 and 6 fit; 4, 6 and 1 do not, and nothing is held.
TEST_F(BatchTest, AllOrNothing) {
  const BatchAnswer refused = AskAll({Of(4), Of(6), Of(1)});
  ASSERT_TRUE(std::holds_alternative<RefusedOne>(refused));
  EXPECT_EQ(std::get<RefusedOne>(refused).index, 2u);
  EXPECT_EQ(std::get<RefusedOne>(refused).refusal.missing, Blocks(1));
  EXPECT_EQ(free(), Blocks(10));
  EXPECT_EQ(admission_->Snapshot().admitted, 0);
  EXPECT_EQ(admission_->Snapshot().released, 0);
  EXPECT_EQ(admission_->Snapshot().refused_wait, 1);
  EXPECT_THAT(BlocksOf(AskAll({Of(4), Of(6)})), testing::ElementsAre(4, 6));
  EXPECT_EQ(free(), Blocks(0));
}

TEST_F(BatchTest, IdsOfWhatWasTakenBackAreFree) {
  AskAll({Of(4, "a"), Of(7, "b")});
  EXPECT_THAT(BlocksOf(AskAll({Of(5, "a"), Of(5, "b")})), testing::ElementsAre(5, 5));
}

TEST_F(BatchTest, ARepeatInsideABatchAndOfABatchGivesTheSame) {
  EXPECT_THAT(BlocksOf(AskAll({Of(6, "a"), Of(6, "a")})), testing::ElementsAre(6, 6));
  EXPECT_THAT(BlocksOf(AskAll({Of(4, "b"), Of(6, "a")})), testing::ElementsAre(4, 6));
  EXPECT_EQ(admission_->Snapshot().reservations, 2);
  const BatchAnswer refused = AskAll({Of(6, "a"), Of(1)});
  EXPECT_EQ(std::get<RefusedOne>(refused).index, 1u);
  EXPECT_EQ(admission_->Snapshot().reservations, 2) << "who was held before stays";
}

TEST_F(BatchTest, OtherContentUnderAnIdTakesEverythingBack) {
  const auto answer = admission_->ReserveAll(std::vector{Of(2), Of(3, "a"), Of(4, "a")});
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(free(), Blocks(10));
  admission_->CheckInvariants();
}

TEST_F(BatchTest, NobodyWhoWaitsIsOvertaken) {
  const Reservation all = Hold(10);
  Queue("first", 2);
  ASSERT_TRUE(std::holds_alternative<RefusedOne>(AskAll({Of(1)})));
  EXPECT_TRUE(admission_->Release(all.id).ok());
  EXPECT_THAT(Answered(), testing::ElementsAre("first"));
  EXPECT_EQ(free(), Blocks(8));
}

// Readers of the tally look at any time, also within a batch: a count that goes up and down again
// would be a restart to them.
TEST_F(BatchTest, WhatIsTakenBackWasNeverTallied) {
  Restart({.epoch = "e1", .classes = {{"granted", {}}, {"refused", {}}}});
  const auto of = [](std::string its_class, int64_t blocks) {
    ReservationRequest request = Of(blocks);
    request.request_class = std::move(its_class);
    return request;
  };
  AskAll({of("granted", 4), of("refused", 7)});
  std::vector<AdmissionTally::ClassCounts> classes = admission_->tally().classes();
  ASSERT_EQ(classes.size(), 2u) << "nothing was said of the first yet";
  EXPECT_EQ(classes[1].name, "refused");
  AskAll({of("granted", 4), of("granted", 5), of("", 1)});
  classes = admission_->tally().classes();
  ASSERT_EQ(classes.size(), 3u);
  EXPECT_EQ(classes[0].admitted, 1);
  EXPECT_EQ(classes[1].admitted, 0);
  EXPECT_EQ(classes[2].admitted, 2);
}

// A grant of "two" that is taken back leaves its tenant what was kept for it.
TEST_F(BatchTest, WhatIsTakenBackCountsForNoTenant) {
  Restart({.epoch = "e1",
           .quotas = {.tenants = {{"one", {.guaranteed = Blocks(4)}},
                                  {"two", {.guaranteed = Blocks(3), .most = Blocks(5)}}}}});
  const auto of = [](std::string tenant, int64_t blocks) {
    return RequestOf(16 * blocks, 0, std::move(tenant));
  };
  const BatchAnswer refused = AskAll({of("two", 5), of("one", 4), of("two", 1)});
  EXPECT_EQ(std::get<RefusedOne>(refused).refusal.reason, Reason::kTenantQuota);
  EXPECT_THAT(BlocksOf(AskAll({of("one", 7), of("two", 3)})), testing::ElementsAre(7, 3));
}

// Released while it waited for room to grow, it comes back before who waits; a batch in which it
// came back and that was taken back does not use that up.
TEST_F(BatchTest, WhoComesBackStillMayWhereNothingWasReserved) {
  Restart({.epoch = "e1", .policy = {.policy = Policy::kWatermark, .watermark = 0}});
  const auto grant = [&](int64_t blocks) {
    return std::get<Reservation>(Must(admission_->Reserve(RequestOf(16 * blocks - 1, 64)))).id;
  };
  const std::string first = grant(5);
  grant(4);
  ASSERT_FALSE(IsAdmitted(Must(admission_->Extend(first, Tokens(16 * 7)))));
  ASSERT_TRUE(admission_->Release(first).ok());
  Queue("newcomer", 7);
  ReservationRequest back = RequestOf(16 * 5 - 1, 64);
  ASSERT_TRUE(std::holds_alternative<RefusedOne>(AskAll({back}))) << "a newcomer like any other";
  back.resumes = first;
  ASSERT_TRUE(std::holds_alternative<RefusedOne>(AskAll({back, Of(1)})));
  EXPECT_THAT(BlocksOf(AskAll({back})), testing::ElementsAre(5));
}

}  // namespace
}  // namespace plimsoll
