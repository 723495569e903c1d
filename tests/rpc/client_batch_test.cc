// Many operations in one call of the client, against a real server.
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

const Reservation& GrantOf(const Outcome& outcome) {
  PLIMSOLL_CHECK(outcome.ok(), outcome.status().ToString());
  return std::get<Reservation>(outcome->value());
}
const Refusal& RefusalOf(const Outcome& outcome) {
  PLIMSOLL_CHECK(outcome.ok(), outcome.status().ToString());
  return std::get<Refusal>(outcome->value());
}

class ClientBatch : public testing::TestWithParam<Duration> {
 protected:
  ClientBatch() {
    server_.Start();
    client_ =
        std::move(Client::Create({.server = server_.address(), .retry_for = GetParam()})).value();
  }

  TestServer server_;  // 100 blocks
  std::unique_ptr<Client> client_;
};

TEST_P(ClientBatch, IsDoneInOrderWithAnOutcomeForEach) {
  const std::string first = Granted(client_->Reserve(RequestOf(160, 0))).id;
  const auto outcomes = client_->Batch(
      {ReserveAction{.request = RequestOf(16 * 80, 0)},
       ExtendAction{.id = first, .total = Tokens(176)}, ReserveAction{.request = RequestOf(160, 0)},
       ReleaseAction{.id = first}, ReserveAction{.request = RequestOf(160, 0)},
       ReserveAction{.request = RequestOf(0, 0)},
       ReserveAction{.request = RequestOf(16, 0), .validate_only = true},
       ReleaseAction{.id = "e0-1"}});
  ASSERT_TRUE(outcomes.ok()) << outcomes.status();
  ASSERT_EQ(outcomes->size(), 8u);
  EXPECT_EQ(GrantOf((*outcomes)[0]).blocks, Blocks(80));
  EXPECT_EQ(GrantOf((*outcomes)[1]).blocks, Blocks(11));
  EXPECT_EQ(RefusalOf((*outcomes)[2]).missing, Blocks(1));
  EXPECT_TRUE((*outcomes)[3].ok() && !(*outcomes)[3]->has_value());
  EXPECT_EQ(GrantOf((*outcomes)[4]).blocks, Blocks(10));
  EXPECT_EQ((*outcomes)[5].status().message(), "prompt_tokens=0: want 1 to 1099511627776");
  EXPECT_EQ(GrantOf((*outcomes)[6]).id, "");
  EXPECT_TRUE(absl::IsFailedPrecondition((*outcomes)[7].status()));
  for (const size_t i : {size_t{0}, size_t{4}}) EXPECT_TRUE(GrantOf((*outcomes)[i]).confirmed) << i;
  server_.clock.Advance(std::chrono::seconds(10));
  EXPECT_EQ(server_.Now().reservations, 2) << "longer than an unconfirmed one lives";
}

TEST_P(ClientBatch, AllAreReservedOrNone) {
  const auto all = client_->ReserveAll({RequestOf(160, 0), RequestOf(320, 0)});
  ASSERT_TRUE(all.ok()) << all.status();
  const auto& granted = std::get<std::vector<Reservation>>(*all);
  ASSERT_EQ(granted.size(), 2u);
  EXPECT_EQ(granted[1].blocks, Blocks(20));
  EXPECT_TRUE(granted[1].confirmed);
  const auto none =
      client_->ReserveAll({RequestOf(160, 0), RequestOf(16 * 61, 0), RequestOf(16, 0)});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(std::get<RefusedOne>(*none).index, 1u);
  EXPECT_EQ(std::get<RefusedOne>(*none).refusal.missing, Blocks(1));
  EXPECT_EQ(server_.Now().blocks.reserved, Blocks(30));
}

TEST_P(ClientBatch, WhatARequestIdWasGrantedAndHasEndedIsNoGrant) {
  ReservationRequest named = RequestOf(160, 0);
  named.request_id = "r";
  const std::string id = Granted(client_->Reserve(named)).id;
  EXPECT_EQ(GrantOf((*client_->Batch({ReserveAction{.request = named}}))[0]).id, id);
  EXPECT_TRUE(client_->Release(id).ok());
  const std::string line =
      "reservation " + id + ", which this request_id was granted, has ended: want another id";
  const absl::Status status = client_->Reserve(named).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_EQ(status.message(), line);
  const auto outcomes =
      client_->Batch({ReserveAction{.request = named}, ReserveAction{.request = RequestOf(16, 0)}});
  ASSERT_TRUE(outcomes.ok()) << outcomes.status();
  EXPECT_EQ((*outcomes)[0].status().message(), line);
  EXPECT_TRUE(client_->Release(GrantOf((*outcomes)[1]).id).ok());
  absl::Notification told;
  client_->ReserveAsync(named, Duration::zero(), [&](const absl::StatusOr<Answer>& answer) {
    EXPECT_EQ(answer.status().message(), line);
    told.Notify();
  });
  told.WaitForNotification();
  EXPECT_EQ(client_->ReserveAll({RequestOf(16, 0), named}).status().message(), line);
  EXPECT_TRUE(Eventually([&] { return server_.AllFree(); })) << "the other one went back";
}

TEST_P(ClientBatch, WhatNoServerTakesIsAnError) {
  EXPECT_EQ(client_->Batch({}).status().message(), "number of operations=0: want 1 to 256");
  EXPECT_EQ(client_->ReserveAll({RequestOf(16, 0), RequestOf(0, 0)}).status().message(),
            "operations[1]: prompt_tokens=0: want 1 to 1099511627776");
  EXPECT_TRUE(server_.AllFree());
  server_.server.reset();
  EXPECT_TRUE(
      absl::IsUnavailable(client_->Batch({ReserveAction{.request = RequestOf(16, 0)}}).status()));
}

INSTANTIATE_TEST_SUITE_P(Retrying, ClientBatch,
                         testing::Values(Duration::zero(), std::chrono::milliseconds(100)));

}  // namespace
}  // namespace plimsoll
