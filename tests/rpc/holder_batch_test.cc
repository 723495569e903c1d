// Batches of a client that keeps what it was granted, by renewals or by a session, against a real
// server whose leases run on the test's time.
#include <string>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "rpc/reservation_holder.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

class HolderBatch : public testing::TestWithParam<bool> {
 protected:
  HolderBatch() {
    NextLife("e1");
    holder_ = std::move(ReservationHolder::Create(
                            {.client = {.server = address_, .retry_for = std::chrono::seconds(60)},
                             .session = GetParam()}))
                  .value();
  }
  ~HolderBatch() override { holder_.reset(); }

  void NextLife(const std::string& epoch) {
    server_.reset();
    server_ = std::make_unique<TestServer>(
        TestServerOptions{.listen = address_,
                          .epoch = epoch,
                          .learning = epoch == "e1" ? Learning::kNever : Learning::kAlways});
    server_->Start();
  }
  static const Reservation& GrantOf(const Outcome& outcome) {
    PLIMSOLL_CHECK(outcome.ok(), outcome.status().ToString());
    return std::get<Reservation>(outcome->value());
  }
  // Whether the server hears of each while leases run out again and again.
  void ExpectAllAreKept(int64_t count) {
    for (int life = 0; life < 3; ++life) {
      server_->clock.Advance(std::chrono::milliseconds(800));
      EXPECT_TRUE(Eventually([&] {
        bool all = true;
        server_->admission().With([&](AdmissionController& admission) {
          for (const std::string& id : ids_) {
            const auto its = admission.Get(id);
            all = all && its.ok() && its->expires >= server_->clock.Now() + kTtl;
          }
        });
        return all;
      })) << life;
    }
    EXPECT_EQ(server_->Now().reservations, count);
  }

  static constexpr Duration kTtl = std::chrono::milliseconds(900);
  const TempDir folder_;
  const std::string address_ = "unix:" + folder_.File("socket");
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<ReservationHolder> holder_;
  std::vector<std::string> ids_;
};

TEST_P(HolderBatch, WhatItGrantsIsKept) {
  ReservationRequest request = RequestOf(160, 0);
  request.ttl = kTtl;
  const auto outcomes = holder_->Batch(std::vector<Action>(
      {ReserveAction{.request = request}, ReserveAction{.request = request, .validate_only = true},
       ReserveAction{.request = request}}));
  ids_ = {GrantOf(outcomes[0]).id, GrantOf(outcomes[2]).id};
  EXPECT_EQ(GrantOf(outcomes[1]).id, "");
  const auto all = holder_->ReserveAll({request, request});
  ASSERT_TRUE(all.ok()) << all.status();
  for (const Reservation& its : std::get<std::vector<Reservation>>(*all)) ids_.push_back(its.id);
  for (const std::string& id : ids_) EXPECT_TRUE(holder_->Holds(id));
  ExpectAllAreKept(4);
  std::vector<Action> releases;
  for (const std::string& id : ids_) releases.emplace_back(ReleaseAction{.id = id});
  for (const Outcome& outcome : holder_->Batch(releases)) EXPECT_TRUE(outcome.ok());
  EXPECT_TRUE(server_->AllFree());
  for (const std::string& id : ids_) EXPECT_FALSE(holder_->Holds(id));
}

TEST_P(HolderBatch, ARefusalOfOneLeavesNothingOfTheOthers) {
  const auto none = holder_->ReserveAll({RequestOf(1600, 0), RequestOf(16, 0)});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(std::get<RefusedOne>(*none).index, 1u);
  EXPECT_TRUE(server_->AllFree());
}

// Ids go on meaning what they were granted for.
TEST_P(HolderBatch, OfALedgerThatWasStartedAgainItIsOfWhatWasClaimed) {
  const auto outcomes =
      holder_->Batch(std::vector<Action>(2, ReserveAction{.request = RequestOf(160, 0)}));
  const std::string one = GrantOf(outcomes[0]).id, other = GrantOf(outcomes[1]).id;
  for (const char* const epoch : {"e2", "e3"}) {
    NextLife(epoch);
    const auto extended = holder_->Batch({ExtendAction{.id = one, .total = Tokens(160)},
                                          ExtendAction{.id = other, .total = Tokens(160)}});
    EXPECT_EQ(GrantOf(extended[0]).id, one);
    EXPECT_EQ(GrantOf(extended[0]).blocks, Blocks(10)) << "nobody grows while it learns";
    EXPECT_EQ(GrantOf(extended[1]).id, other);
  }
  for (const Outcome& outcome :
       holder_->Batch({ReleaseAction{.id = one}, ReleaseAction{.id = other}})) {
    EXPECT_TRUE(outcome.ok()) << outcome.status();
  }
  EXPECT_TRUE(server_->AllFree());
}

INSTANTIATE_TEST_SUITE_P(Session, HolderBatch, testing::Bool());

}  // namespace
}  // namespace plimsoll
