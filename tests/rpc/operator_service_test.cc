// Draining, resuming and revoking over the wire.
#include <gtest/gtest.h>

#include "plimsoll/v1/admission.grpc.pb.h"
#include "rpc/operator_client.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

class OperatorService : public testing::Test {
 protected:
  OperatorService() {
    server_.Start();
    client_ = server_.Connect();
    operator_ = std::move(OperatorClient::Create({.server = server_.address()})).value();
  }

  // 1 is SERVING, 2 is NOT_SERVING, in the answer of grpc.health.v1.Health/Check.
  int Health() const {
    const RawAnswer answer =
        RawCall(ChannelTo(server_.address()), "/grpc.health.v1.Health/Check", "");
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    return answer.bytes.size() == 2 ? answer.bytes[1] : 0;
  }

  TestServer server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<OperatorClient> operator_;
};

TEST_F(OperatorService, DrainsAndResumes) {
  const std::string id = Granted(client_->Reserve(RequestOf(160, 0))).id;
  EXPECT_EQ(Health(), 1);
  for (int twice = 0; twice < 2; ++twice) {
    const absl::StatusOr<HeldAtDrain> held = operator_->Drain();
    ASSERT_TRUE(held.ok()) << held.status();
    EXPECT_EQ(held->reservations, 1);
    EXPECT_EQ(held->blocks, Blocks(10));
  }
  EXPECT_EQ(Health(), 2);
  EXPECT_EQ(Refused(client_->Reserve(RequestOf(16, 0))).reason, Reason::kDraining);
  EXPECT_TRUE(client_->GetCapacity()->snapshot.draining);
  EXPECT_EQ(Granted(client_->Extend(id, Tokens(320))).blocks, Blocks(20)) << "holders go on";
  ASSERT_TRUE(operator_->Resume().ok());
  ASSERT_TRUE(operator_->Resume().ok());
  EXPECT_EQ(Health(), 1);
  Granted(client_->Reserve(RequestOf(16, 0)));
}

TEST_F(OperatorService, WhoWaitsIsToldAtOnceThatTheServerDrains) {
  Granted(client_->Reserve(RequestOf(1600, 0)));
  absl::StatusOr<Answer> answer = absl::UnknownError("");
  std::thread waiter(
      [&] { answer = client_->Reserve(RequestOf(16, 0), std::chrono::seconds(60)); });
  ASSERT_TRUE(Eventually([&] { return server_.Now().waiting == 1; }));
  ASSERT_TRUE(operator_->Drain().ok());
  waiter.join();
  EXPECT_EQ(Refused(answer).reason, Reason::kDraining);
}

TEST_F(OperatorService, AServerThatShutsDownDoesNotResume) {
  server_.server->StartDraining();
  const absl::Status status = operator_->Resume();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(status.message(), "the server is shutting down");
  EXPECT_TRUE(server_.Now().draining);
  EXPECT_EQ(Health(), 2);
  EXPECT_TRUE(operator_->Drain().ok());
}

TEST_F(OperatorService, RevokesAndTheHolderLearnsFromItsNextCall) {
  const std::string revoked = Granted(client_->Reserve(RequestOf(160, 0))).id;
  const std::string kept = Granted(client_->Reserve(RequestOf(32, 0))).id;
  const absl::StatusOr<Revocation> revocation = operator_->Revoke(revoked);
  ASSERT_TRUE(revocation.ok()) << revocation.status();
  EXPECT_EQ(revocation->blocks, Blocks(10));
  EXPECT_FALSE(revocation->stopping);
  EXPECT_EQ(server_.Now().blocks.reserved, Blocks(2));
  const absl::Status extended = client_->Extend(revoked, Tokens(320)).status();
  EXPECT_TRUE(absl::IsNotFound(extended));
  EXPECT_EQ(extended.message(), "no reservation " + revoked + ": it was revoked");
  const absl::StatusOr<Renewal> renewal = client_->Renew({revoked, kept, "e1-77", "e0-1"});
  ASSERT_TRUE(renewal.ok()) << renewal.status();
  ASSERT_EQ(renewal->renewed.size(), 1u);
  EXPECT_EQ(renewal->renewed[0].id, kept);
  ASSERT_EQ(renewal->lost.size(), 3u);
  EXPECT_TRUE(renewal->lost[0].revoked && !renewal->lost[0].stale_epoch);
  EXPECT_TRUE(!renewal->lost[1].revoked && !renewal->lost[1].stale_epoch);
  EXPECT_TRUE(!renewal->lost[2].revoked && renewal->lost[2].stale_epoch);
  EXPECT_TRUE(client_->Release(revoked).ok());
}

TEST_F(OperatorService, SaysWhyNothingWasRevoked) {
  const auto code = [&](const std::string& id) { return operator_->Revoke(id).status().code(); };
  EXPECT_EQ(code("e1-1"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code("e0-1"), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(std::string(129, 'x')), absl::StatusCode::kInvalidArgument);
  const absl::Status empty = operator_->Revoke("").status();
  EXPECT_TRUE(absl::IsInvalidArgument(empty));
  EXPECT_NE(empty.message().find("reservation_id"), std::string::npos) << empty;
}

TEST(OperatorClient, SaysWhereThereIsNoServer) {
  const auto client = std::move(OperatorClient::Create({.server = "127.0.0.1:1"})).value();
  const absl::Status status = client->Resume();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(status.message().find("no server at 127.0.0.1:1"), 0u) << status;
  EXPECT_FALSE(OperatorClient::Create({.server = "nonsense"}).ok());
}

}  // namespace
}  // namespace plimsoll
