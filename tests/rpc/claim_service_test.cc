// A ledger that was restarted: holders claim, newcomers wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rpc/test_server.h"
#include "tests/rpc/test_session.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

class ClaimService : public testing::Test {
 protected:
  ClaimService() : server_({.epoch = "e2", .learning = Learning::kAlways}) {
    server_.Start();
    client_ = server_.Connect();
    stub_ = v1::AdmissionService::NewStub(ChannelTo(server_.address()));
  }

  static void Add(google::protobuf::RepeatedPtrField<v1::ReservationClaim>* claims,
                  const std::string& id, int64_t blocks) {
    v1::ReservationClaim* const claim = claims->Add();
    claim->set_reservation_id(id);
    claim->set_prompt_tokens(16 * blocks);
  }
  grpc::Status Send(const v1::RenewReservationsRequest& request) {
    grpc::ClientContext context;
    answer_.Clear();
    return stub_->RenewReservations(&context, request, &answer_);
  }

  TestServer server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<v1::AdmissionService::Stub> stub_;
  v1::RenewReservationsResponse answer_;
};

TEST_F(ClaimService, ClaimsAreTakenWhileItLearnsAndNewcomersWait) {
  EXPECT_EQ(Refused(client_->Reserve(RequestOf(16, 0))).reason, Reason::kLearning);
  v1::RenewReservationsRequest request;
  Add(request.mutable_claims(), "e1-7", 60);
  Add(request.mutable_claims(), "e1-8", 41);
  Add(request.mutable_claims(), "e1-9", 40);
  Add(request.mutable_claims(), "nonsense", 1);
  for (int time = 0; time < 2; ++time) {
    ASSERT_TRUE(Send(request).ok());
    ASSERT_EQ(answer_.reservations_size(), 2) << "time " << time;
    EXPECT_EQ(answer_.reservations(0).reservation_id(), "e2-1");
    EXPECT_EQ(answer_.reservations(0).claimed_id(), "e1-7");
    EXPECT_EQ(answer_.reservations(1).reservation_id(), "e2-2");
    EXPECT_EQ(answer_.reservations(1).claimed_id(), "e1-9");
    ASSERT_EQ(answer_.lost_size(), 2);
    EXPECT_EQ(answer_.lost(0).reservation_id(), "e1-8");
    EXPECT_EQ(answer_.lost(0).cause(), v1::LOSS_CAUSE_NO_ROOM);
    EXPECT_EQ(answer_.lost(1).cause(), v1::LOSS_CAUSE_NOT_FOUND);
  }
  EXPECT_TRUE(client_->Release("e2-2").ok());
  EXPECT_EQ(Refused(client_->Reserve(RequestOf(16, 0))).reason, Reason::kLearning);
  server_.clock.Advance(seconds(30));
  EXPECT_TRUE(Eventually([&] { return server_.Now().headroom > Blocks(0); }));
  EXPECT_EQ(Granted(client_->Reserve(RequestOf(16, 0))).id, "e2-3");
  ASSERT_TRUE(Send(request).ok());
  EXPECT_EQ(answer_.reservations_size(), 0);
  EXPECT_EQ(answer_.lost(1).cause(), v1::LOSS_CAUSE_STALE_EPOCH) << "it learns no more";
}

TEST_F(ClaimService, WhoWaitsIsServedAfterIt) {
  std::atomic<bool> granted = false;
  client_->ReserveAsync(RequestOf(16, 0), seconds(100), [&](absl::StatusOr<Answer> answer) {
    granted = Granted(answer).id == "e2-1";
  });
  ASSERT_TRUE(Eventually([&] { return server_.Now().waiting == 1; }));
  server_.clock.Advance(seconds(30));
  EXPECT_TRUE(Eventually([&] { return granted.load(); }));
}

TEST_F(ClaimService, ASessionClaimsInItsHello) {
  v1::Hello hello;
  hello.set_resume_token("of the life before");
  Add(hello.mutable_claims(), "e1-7", 60);
  Add(hello.mutable_claims(), "e1-8", 41);
  TestSession session(server_.address());
  const v1::Welcome welcome = session.Greet(hello);
  EXPECT_FALSE(welcome.resumed());
  ASSERT_EQ(welcome.reservations_size(), 1);
  EXPECT_EQ(welcome.reservations(0).claimed_id(), "e1-7");
  ASSERT_EQ(welcome.lost_size(), 1);
  EXPECT_EQ(welcome.lost(0).cause(), v1::LOSS_CAUSE_NO_ROOM);
  server_.clock.Advance(seconds(1000));
  EXPECT_EQ(session.Reserve(41).rejection().missing_blocks(), 1);
  EXPECT_TRUE(session.Release("e2-1").has_released());
}

TEST_F(ClaimService, WhoClaimsWhatWasRevokedIsToldThat) {
  v1::RenewReservationsRequest request;
  Add(request.mutable_claims(), "e1-7", 1);
  ASSERT_TRUE(Send(request).ok());
  const std::string id = answer_.reservations(0).reservation_id();
  server_.admission().With(
      [&](AdmissionController& admission) { EXPECT_TRUE(admission.Revoke(id).ok()); });
  request.Clear();
  Add(request.mutable_claims(), id, 1);
  ASSERT_TRUE(Send(request).ok());
  ASSERT_EQ(answer_.lost_size(), 1);
  EXPECT_EQ(answer_.lost(0).cause(), v1::LOSS_CAUSE_REVOKED);
}

TEST_F(ClaimService, AClaimOfAClassThatIsGoneIsLostAlone) {
  v1::RenewReservationsRequest request;
  Add(request.mutable_claims(), "e1-7", 1);
  Add(request.mutable_claims(), "e1-8", 1);
  request.mutable_claims(0)->set_request_class("gone");
  ASSERT_TRUE(Send(request).ok());
  ASSERT_EQ(answer_.reservations_size(), 1);
  EXPECT_EQ(answer_.reservations(0).claimed_id(), "e1-8");
  ASSERT_EQ(answer_.lost_size(), 1);
  EXPECT_EQ(answer_.lost(0).reservation_id(), "e1-7");
  EXPECT_EQ(answer_.lost(0).cause(), v1::LOSS_CAUSE_NOT_FOUND);
  v1::Hello hello;
  *hello.mutable_claims() = request.claims();
  TestSession session(server_.address());
  const v1::Welcome welcome = session.Greet(hello);
  ASSERT_EQ(welcome.reservations_size(), 1);
  EXPECT_EQ(welcome.lost_size(), 1);
}

TEST_F(ClaimService, BadClaimsAreRefusedByName) {
  v1::RenewReservationsRequest request;
  EXPECT_EQ(Send(request).error_message(),
            "number of reservation_ids and claims=0: want 1 to 1000");
  Add(request.mutable_claims(), "e1-1", 1);
  Add(request.mutable_claims(), "e1-2", 0);
  const grpc::Status status = Send(request);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "claims[1]: prompt_tokens=0: want 1 to 1099511627776");
  EXPECT_TRUE(server_.AllFree());
}

TEST(ClaimServiceTold, AStaleRenewalMakesItLearn) {
  TestServer server({.epoch = "e2", .learning = Learning::kWhenTold});
  server.Start();
  const std::unique_ptr<Client> client = server.Connect();
  Granted(client->Reserve(RequestOf(16, 0)));
  const Renewal renewal = *client->Renew({"e1-7"});
  ASSERT_EQ(renewal.lost.size(), 1u);
  EXPECT_TRUE(renewal.lost[0].stale_epoch);
  EXPECT_EQ(Refused(client->Reserve(RequestOf(16, 0))).reason, Reason::kLearning);
}

}  // namespace
}  // namespace plimsoll
