// Row 6: who may touch what another holds, where tokens act for tenants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rpc/test_server.h"
#include "tests/rpc/test_session.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

constexpr char kOfA[] = "of-a-0123456789abc";
constexpr char kOfB[] = "of-b-0123456789abc";
constexpr char kOfAll[] = "of-all-0123456789a";

// Of 100 blocks, tenant a holds ten as e1-1.
class ForeignHolder : public testing::Test {
 protected:
  ForeignHolder() : base_({.learning = Learning::kWhenTold}) {
    ServerOptions options{.listen = {"unix:" + folder_.File("s")},
                          .info = {.version = "", .epoch = "e1", .model = "", .device = "none"}};
    options.tokens = TokenTable::Parse(std::string("ann:admission@a:") + kOfA +
                                       "\nbob:admission@b:" + kOfB + "\nall:admission:" + kOfAll)
                         .value();
    server_ = std::move(Server::Start(options, base_.admission(), base_.clock, nullptr)).value();
    a_ = With(kOfA);
    b_ = With(kOfB);
    held_ = Granted(a_->Reserve(RequestOf(160, 0)));
  }

  std::unique_ptr<Client> With(const std::string& token) {
    return std::move(Client::Create({.server = address(), .security = {.token = token}})).value();
  }
  std::string address() const { return server_->addresses().front(); }
  ReservationRequest For(const std::string& tenant) const {
    ReservationRequest request = RequestOf(16, 0);
    request.tenant = tenant;
    return request;
  }
  static ReservationClaim ClaimOf(const std::string& id, const std::string& tenant) {
    return {.id = id, .tenant = tenant, .prompt_tokens = Tokens(160), .max_new_tokens = Tokens(0)};
  }
  // That nobody lost or gained anything: a's ten blocks, and no more.
  void ExpectUnchanged() {
    const Blocks reserved = server_->Capacity().snapshot.blocks.reserved;
    EXPECT_EQ(reserved, Blocks(10));
    EXPECT_EQ(a_->Renew({held_.id})->renewed.size(), 1u);
  }

  const TempDir folder_;
  TestServer base_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> a_, b_;
  Reservation held_;
};

constexpr char kDenied[] = "bob acts for tenant b alone; reservation e1-1 is another's";

TEST_F(ForeignHolder, WhoReservesInNoNameReservesInItsTokens) {
  EXPECT_EQ(held_.tenant, "a");
  EXPECT_EQ(Granted(b_->Reserve(For("b"))).tenant, "b");
  EXPECT_EQ(Granted(With(kOfAll)->Reserve(For("c"))).tenant, "c");
  EXPECT_EQ(Granted(With(kOfAll)->Reserve(For(""))).tenant, "");
}

TEST_F(ForeignHolder, NobodyReservesInAnothersName) {
  for (const Duration wait : {Duration::zero(), Duration(std::chrono::seconds(1))}) {
    const absl::Status denied = b_->Reserve(For("a"), wait).status();
    EXPECT_TRUE(absl::IsPermissionDenied(denied)) << denied;
    EXPECT_EQ(denied.message(), "bob acts for tenant b alone; tenant a is another's");
  }
  EXPECT_TRUE(absl::IsPermissionDenied(b_->CanAdmit(For("a")).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(b_->ReserveAll({For("b"), For("a")}).status()));
  ExpectUnchanged();
}

TEST_F(ForeignHolder, ACallThatNamesWhatAnotherHoldsIsDeniedAndChangesNothing) {
  const auto own = Granted(b_->Reserve(For("b")));
  for (const absl::Status& status :
       {b_->Release(held_.id), b_->Extend(held_.id, Tokens(320)).status(),
        b_->Renew({own.id, held_.id}).status(), b_->Renew({}, {ClaimOf(held_.id, "b")}).status(),
        b_->Renew({}, {ClaimOf("e0-7", "a")}).status()}) {
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  }
  EXPECT_EQ(b_->Release(held_.id).message(), kDenied);
  ASSERT_TRUE(b_->Release(own.id).ok()) << "its own it may";
  ExpectUnchanged();
}

TEST_F(ForeignHolder, ABatchDoesWhatItMayAndNoMore) {
  const auto outcomes = b_->Batch({ReserveAction{.request = For("b")}, ReleaseAction{held_.id},
                                   ExtendAction{.id = held_.id, .total = Tokens(320)},
                                   ReserveAction{.request = For("a")}});
  ASSERT_TRUE(outcomes.ok()) << outcomes.status();
  ASSERT_TRUE((*outcomes)[0].ok());
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_TRUE(absl::IsPermissionDenied((*outcomes)[i].status())) << (*outcomes)[i].status();
  }
  EXPECT_TRUE(b_->Release(std::get<Reservation>(**(*outcomes)[0]).id).ok());
  ExpectUnchanged();
}

TEST_F(ForeignHolder, ASessionTouchesNothingThatAnotherHolds) {
  TestSession session(ChannelTo(address()), kOfB);
  session.Greet();
  EXPECT_EQ(session.Release(held_.id).error().code(), grpc::PERMISSION_DENIED);
  EXPECT_EQ(session.Release(held_.id).error().message(), kDenied);
  EXPECT_EQ(session.Extend(held_.id, 320).error().code(), grpc::PERMISSION_DENIED);
  EXPECT_EQ(session.Reserve(1).reservation().tenant(), "b");
  v1::Hello hello;
  v1::ReservationClaim* const claim = hello.add_claims();
  claim->set_reservation_id(held_.id);
  claim->set_tenant("b");
  claim->set_prompt_tokens(160);
  TestSession thief(ChannelTo(address()), kOfB);
  thief.Greet(hello);
  const grpc::Status end = thief.End();
  EXPECT_EQ(end.error_code(), grpc::PERMISSION_DENIED);
  EXPECT_THAT(end.error_message(), HasSubstr(kDenied));
  session.Break();
  EXPECT_EQ(a_->Renew({held_.id})->renewed.size(), 1u);
}

// Whoever acts for all may, as may everybody where there are no tokens.
TEST_F(ForeignHolder, WhoActsForAllMayReleaseForAnybody) {
  EXPECT_TRUE(With(kOfAll)->Release(held_.id).ok());
  EXPECT_TRUE(b_->Release(held_.id).ok()) << "what has ended nobody holds";
  EXPECT_EQ(server_->Capacity().snapshot.reservations, 0);
}

TEST_F(ForeignHolder, ATokenThatChangesItsTenantActsForTheNewOneAtOnce) {
  ASSERT_TRUE(
      server_->SetTokens(TokenTable::Parse(std::string("bob:admission@a:") + kOfB).value()).ok());
  EXPECT_TRUE(b_->Release(held_.id).ok());
}

}  // namespace
}  // namespace plimsoll
