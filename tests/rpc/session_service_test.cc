// Sessions over a real socket: the stream is the lease.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/rpc/test_server.h"
#include "tests/rpc/test_session.h"

namespace plimsoll {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using testing::ElementsAre;

// 100 blocks of 16 tokens; leases of 30 s.
class SessionService : public testing::Test {
 protected:
  SessionService() {
    server_.Start();
    client_ = server_.Connect();
  }

  static v1::Hello With(const std::string& token, int64_t ttl_seconds = 0) {
    v1::Hello hello;
    hello.set_resume_token(token);
    hello.mutable_ttl()->set_seconds(ttl_seconds);
    return hello;
  }
  bool HeldAre(int64_t n) {
    return Eventually([&] { return server_.Now().reservations == n; });
  }
  // Until the server has noticed that a stream is gone: then a lease runs.
  bool LeasesRun() {
    return Eventually([&] {
      return server_.admission().With(
          [](AdmissionController& admission) { return admission.NextDeadline().has_value(); });
    });
  }

  TestServer server_;
  std::unique_ptr<Client> client_;
};

TEST_F(SessionService, WelcomesAndDoesWhatIsAsked) {
  TestSession session(server_.address());
  const v1::Welcome welcome = session.Greet();
  EXPECT_EQ(welcome.epoch(), "e1");
  EXPECT_EQ(welcome.resume_token().size(), 30u);
  EXPECT_EQ(welcome.ttl().seconds(), 30);
  EXPECT_FALSE(welcome.resumed());

  const v1::Reservation held = session.Reserve(10).reservation();
  EXPECT_EQ(held.reservation_id(), "e1-1");
  EXPECT_TRUE(held.confirmed());
  EXPECT_EQ(session.Extend(held.reservation_id(), 16 * 12).reservation().blocks(), 12);
  EXPECT_EQ(session.Reserve(89).rejection().missing_blocks(), 1);
  EXPECT_EQ(session.Reserve(101).rejection().reason(), v1::REASON_NEVER_FITS);
  EXPECT_EQ(session.Reserve(0).error().code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(session.Do({}).error().message(), "action: want reserve, extend or release");
  EXPECT_EQ(session.Release("e0-1").error().code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(session.Release("e1-9").error().code(), grpc::NOT_FOUND);
  EXPECT_TRUE(session.Release("e1-1").has_released());
  EXPECT_TRUE(session.Release("e1-1").has_released()) << "twice is harmless";
  EXPECT_TRUE(session.revoked().empty()) << "it asked for that itself";
  EXPECT_TRUE(server_.AllFree());
  EXPECT_TRUE(session.Close().ok());
}

TEST_F(SessionService, GroupsAreDoneInOrderAndEachOperationHasItsResult) {
  TestSession session(server_.address());
  session.Greet();
  std::set<uint64_t> ids;
  for (int message = 0; message < 10; ++message) {
    v1::SessionRequest request;
    for (int i = 0; i < 10; ++i) {
      v1::Operation* const operation = request.add_operations();
      operation->set_id(10 * static_cast<uint64_t>(message) + static_cast<uint64_t>(i));
      operation->mutable_reserve()->set_prompt_tokens(16);
    }
    ASSERT_TRUE(session.Send(request));
  }
  session.Await(100);
  for (const v1::OperationResult& result : session.results()) {
    EXPECT_EQ(result.reservation().blocks(), 1);
    EXPECT_TRUE(ids.insert(result.id()).second);
  }
  EXPECT_EQ(ids.size(), 100u);
  EXPECT_EQ(server_.Now().blocks.free, Blocks(0));
}

TEST_F(SessionService, WhileTheStreamLivesNothingOfItEnds) {
  TestSession session(server_.address());
  session.Greet();
  session.Reserve(10);
  const Reservation other = Granted(client_->Reserve(RequestOf(16, 0)));
  server_.clock.Advance(hours(100));
  ASSERT_TRUE(HeldAre(1)) << "the other one's lease is over";
  EXPECT_EQ(session.Reserve(1).reservation().reservation_id(), "e1-3");
  EXPECT_EQ(client_->Renew({"e1-1"})->renewed.size(), 1u);
  server_.clock.Advance(hours(100));
  EXPECT_TRUE(session.Extend("e1-1", 16 * 11).has_reservation());
  EXPECT_TRUE(session.revoked().empty());
}

TEST_F(SessionService, WhatABrokenStreamHeldLivesForTheSessionsTtl) {
  TestSession session(server_.address());
  EXPECT_EQ(session.Greet(With("", 7)).ttl().seconds(), 7);
  session.Reserve(10);
  session.Break();
  ASSERT_TRUE(LeasesRun());
  server_.clock.Advance(seconds(6));
  EXPECT_EQ(client_->GetCapacity()->snapshot.reservations, 1);
  server_.clock.Advance(seconds(2));
  EXPECT_TRUE(HeldAre(0));
  EXPECT_EQ(server_.Now().expired, 1);
}

TEST_F(SessionService, AnotherStreamTakesItOverWithTheToken) {
  TestSession first(server_.address());
  const std::string token = first.Greet(With("", 20)).resume_token();
  first.Reserve(10);
  first.Reserve(5);
  first.Break();
  ASSERT_TRUE(LeasesRun());
  server_.clock.Advance(seconds(19));

  TestSession second(server_.address());
  const v1::Welcome welcome = second.Greet(With(token));
  EXPECT_TRUE(welcome.resumed());
  EXPECT_EQ(welcome.resume_token(), token);
  EXPECT_EQ(welcome.reservations_size(), 2);
  server_.clock.Advance(hours(1));
  EXPECT_EQ(second.Extend("e1-1", 16 * 11).reservation().blocks(), 11);
  EXPECT_EQ(server_.Now().reservations, 2);
}

// 2,500 take some 400 KiB; the client takes no message of more than 256 KiB.
TEST_F(SessionService, AWelcomeOfManyComesInPages) {
  TestServer large({.blocks = Blocks(3000)});
  large.Start();
  std::string token;
  {
    TestSession first(large.address());
    token = first.Greet().resume_token();
    v1::SessionRequest request;
    for (int i = 0; i < 250; ++i) {
      v1::ReserveCapacityRequest* const reserve = request.add_operations()->mutable_reserve();
      reserve->set_prompt_tokens(16);
      reserve->set_tenant(std::string(128, 't'));
    }
    for (size_t n = 250; n <= 2500; n += 250) {
      ASSERT_TRUE(first.Send(request));
      first.Await(n);
    }
  }
  grpc::ChannelArguments small;
  small.SetMaxReceiveMessageSize(256 << 10);
  TestSession second(
      grpc::CreateCustomChannel(large.address(), grpc::InsecureChannelCredentials(), small));
  v1::SessionRequest request;
  *request.mutable_hello() = With(token);
  request.add_operations()->mutable_release()->set_reservation_id("e1-1");
  ASSERT_TRUE(second.Send(request));
  std::set<std::string> ids;
  std::vector<int> sizes;
  v1::SessionResponse response;
  do {
    ASSERT_TRUE(response.results().empty()) << "not before the last page";
    ASSERT_TRUE(second.Read(response)) << second.End().error_message();
    ASSERT_TRUE(response.has_welcome());
    EXPECT_TRUE(response.welcome().resumed());
    EXPECT_EQ(response.welcome().epoch(), "e1");
    EXPECT_EQ(response.welcome().resume_token(), token);
    sizes.push_back(response.welcome().reservations_size());
    for (const auto& each : response.welcome().reservations()) ids.insert(each.reservation_id());
  } while (response.welcome().more());
  EXPECT_THAT(sizes, ElementsAre(1000, 1000, testing::AnyOf(499, 500)));
  EXPECT_GE(ids.size(), 2499u);
  if (response.results().empty()) second.Await(1);
  EXPECT_TRUE(Eventually([&] { return large.Now().reservations == 2499; }));
}

TEST_F(SessionService, ATokenThatIsNotKnownBeginsAnew) {
  TestSession session(server_.address());
  const v1::Welcome welcome = session.Greet(With("nonsense"));
  EXPECT_FALSE(welcome.resumed());
  EXPECT_NE(welcome.resume_token(), "nonsense");
  session.Break();
  // Until the server has noticed, the stream is taken over.
  EXPECT_TRUE(Eventually([&] {
    TestSession again(server_.address());
    return !again.Greet(With(welcome.resume_token())).resumed();
  })) << "it held nothing";
}

// The server has not noticed that the client's old connection is gone.
TEST_F(SessionService, AStreamThatIsTakenOverIsToldAndDoesNothingMore) {
  TestSession first(server_.address());
  const std::string token = first.Greet().resume_token();
  first.Reserve(10);
  v1::SessionRequest waits;
  waits.add_operations()->mutable_reserve()->set_prompt_tokens(16 * 95);
  waits.mutable_operations(0)->mutable_reserve()->mutable_max_wait()->set_seconds(1000);
  ASSERT_TRUE(first.Send(waits));
  ASSERT_TRUE(Eventually([&] { return server_.Now().waiting == 1; }));

  TestSession second(server_.address());
  EXPECT_EQ(second.Greet(With(token)).reservations_size(), 1);
  const grpc::Status end = first.End();
  EXPECT_EQ(end.error_code(), grpc::ABORTED);
  EXPECT_EQ(end.error_message(), "another stream took the session over");
  EXPECT_EQ(server_.Now().waiting, 0) << "nobody is there to hear of it";
  server_.clock.Advance(hours(1));
  EXPECT_TRUE(second.Release("e1-1").has_released());
}

TEST_F(SessionService, OthersWhoEndWhatItHoldsAreHeardOf) {
  TestSession session(server_.address());
  session.Greet();
  session.Reserve(10, "mine");
  session.Reserve(5);
  ASSERT_TRUE(client_->Release("e1-2").ok());
  session.Await(0, 1);
  EXPECT_THAT(session.revoked(), ElementsAre("e1-2"));
  TestSession other(server_.address());
  other.Greet();
  EXPECT_EQ(other.Reserve(10, "mine").reservation().reservation_id(), "e1-1");
  session.Await(0, 2);
  EXPECT_THAT(session.revoked(), ElementsAre("e1-2", "e1-1"));
  session.Break();
  server_.clock.Advance(hours(1));
  EXPECT_TRUE(other.Release("e1-1").has_released()) << "it is the other's now";
}

// Both claim the same in their first messages, so that one takes it from the other as that opens.
TEST_F(SessionService, TheWelcomeComesFirstWhateverIsRevokedMeanwhile) {
  v1::Hello hello;
  hello.add_claims()->set_reservation_id(Granted(client_->Reserve(RequestOf(160, 0))).id);
  hello.mutable_claims(0)->set_prompt_tokens(160);
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        TestSession session(server_.address());
        EXPECT_EQ(session.Greet(hello).epoch(), "e1") << "round " << round;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(server_.server->violations(), 0);
}

TEST_F(SessionService, OneMayWaitInASessionWhileOthersGoOn) {
  TestSession session(server_.address());
  session.Greet();
  session.Reserve(100);
  v1::SessionRequest request;
  for (uint64_t id = 1; id <= 2; ++id) {
    v1::Operation* const operation = request.add_operations();
    operation->set_id(id);
    operation->mutable_reserve()->set_prompt_tokens(16 * 60);
    operation->mutable_reserve()->mutable_max_wait()->set_seconds(50);
  }
  ASSERT_TRUE(session.Send(request));
  ASSERT_TRUE(Eventually([&] { return server_.Now().waiting == 2; }));
  v1::Operation release;
  release.set_id(9);
  release.mutable_release()->set_reservation_id("e1-1");
  session.Do(release);
  session.Await(2);
  server_.clock.Advance(seconds(51));
  session.Await(3);
  std::map<uint64_t, v1::OperationResult> by_id;
  for (const v1::OperationResult& result : session.results()) by_id[result.id()] = result;
  EXPECT_TRUE(by_id[9].has_released());
  EXPECT_EQ(by_id[1].reservation().blocks(), 60);
  EXPECT_EQ(by_id[2].rejection().reason(), v1::REASON_WAIT_TIMEOUT);
  EXPECT_EQ(server_.Now().reservations, 1) << "what came after a wait is kept too";
}

TEST_F(SessionService, ABrokenStreamWaitsForNothing) {
  const std::string all = Granted(client_->Reserve(RequestOf(1600, 0))).id;
  {
    TestSession session(server_.address());
    session.Greet();
    v1::SessionRequest request;
    request.add_operations()->mutable_reserve()->set_prompt_tokens(16);
    request.mutable_operations(0)->mutable_reserve()->mutable_max_wait()->set_seconds(1000);
    ASSERT_TRUE(session.Send(request));
    ASSERT_TRUE(Eventually([&] { return server_.Now().waiting == 1; }));
  }
  EXPECT_TRUE(Eventually([&] { return server_.Now().waiting == 0; }));
  EXPECT_TRUE(client_->Release(all).ok());
  EXPECT_TRUE(server_.AllFree());
}

TEST_F(SessionService, ASignOfLifeIsGivenToWhoHasTheSession) {
  TestSession session(server_.address());
  const v1::Welcome welcome = session.Greet();
  v1::SessionRequest ping;
  ping.set_ping(7);
  ASSERT_TRUE(session.Send(ping));
  v1::SessionResponse response;
  ASSERT_TRUE(session.Read(response));
  EXPECT_EQ(response.pong(), 7u);
  EXPECT_EQ(response.results_size(), 0);
  ping.add_operations()->mutable_reserve()->set_prompt_tokens(16);
  ASSERT_TRUE(session.Send(ping));
  ASSERT_TRUE(session.Read(response));
  EXPECT_EQ(response.pong(), 7u) << "with what was asked along with it";
  EXPECT_TRUE(response.results(0).has_reservation());
  v1::Hello hello;
  hello.set_resume_token(welcome.resume_token());
  TestSession other(server_.address());
  EXPECT_TRUE(other.Greet(hello).resumed());
  ping.clear_operations();
  session.Send(ping);
  bool answered = false;
  while (session.Read(response)) answered |= response.pong() != 0;
  EXPECT_FALSE(answered) << "the session is not its own any more";
}

TEST_F(SessionService, RepeatsAreTheSameReservationOverStreamsAndCalls) {
  TestSession session(server_.address());
  session.Greet();
  const std::string id = session.Reserve(10, "r").reservation().reservation_id();
  EXPECT_EQ(session.Reserve(10, "r").reservation().reservation_id(), id);
  ReservationRequest request = RequestOf(160, 0);
  request.request_id = "r";
  EXPECT_EQ(Granted(client_->Reserve(request)).id, id);
  EXPECT_EQ(session.Reserve(11, "r").error().code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(server_.Now().reservations, 1);
  EXPECT_FALSE(session.Reserve(10, "r").reservation().ended());
  EXPECT_TRUE(session.Release(id).has_released());
  EXPECT_EQ(session.Reserve(10, "r").reservation().reservation_id(), id);
  EXPECT_TRUE(session.Reserve(10, "r").reservation().ended());
}

TEST_F(SessionService, WhatWasGrantedOtherwiseIsTakenAlongByItsId) {
  const std::string id = Granted(client_->Reserve(RequestOf(160, 0))).id;
  v1::Hello hello;
  hello.add_claims()->set_reservation_id(id);
  hello.mutable_claims(0)->set_prompt_tokens(160);
  hello.add_claims()->set_reservation_id("e0-5");
  hello.mutable_claims(1)->set_prompt_tokens(160);
  TestSession session(server_.address());
  const v1::Welcome welcome = session.Greet(hello);
  ASSERT_EQ(welcome.reservations_size(), 1);
  EXPECT_EQ(welcome.reservations(0).reservation_id(), id);
  ASSERT_EQ(welcome.lost_size(), 1);
  EXPECT_EQ(welcome.lost(0).cause(), v1::LOSS_CAUSE_STALE_EPOCH);
  server_.clock.Advance(hours(1));
  EXPECT_TRUE(session.Release(id).has_released());
}

TEST_F(SessionService, BadMessagesEndItWithOneLine) {
  const auto end_of = [&](const v1::SessionRequest& request, bool greeted) {
    TestSession session(server_.address());
    if (greeted) session.Greet();
    session.Send(request);
    const grpc::Status end = session.End();
    EXPECT_EQ(end.error_code(), grpc::INVALID_ARGUMENT);
    return end.error_message();
  };
  v1::SessionRequest request;
  EXPECT_EQ(end_of(request, false), "hello: want one in the first message");
  request.mutable_hello()->set_client_name(std::string(129, 'x'));
  EXPECT_EQ(end_of(request, false), "client_name=(129 bytes): want 0 to 128 bytes");
  request.mutable_hello()->set_client_name("");
  EXPECT_EQ(end_of(request, true), "hello: want none after the first message");
  request.mutable_hello()->mutable_ttl()->set_seconds(3601);
  EXPECT_EQ(end_of(request, false), "ttl=3601s: want 0s to 3600s");
  request.mutable_hello()->clear_ttl();
  request.mutable_hello()->add_claims();
  EXPECT_EQ(end_of(request, false), "claims[0]: reservation_id=(0 bytes): want 1 to 128 bytes");
  request.mutable_hello()->mutable_claims(0)->set_reservation_id("e0-1");
  request.mutable_hello()->mutable_claims(0)->set_prompt_tokens(1);
  request.mutable_hello()->mutable_claims(0)->set_request_class(std::string(129, 'x'));
  EXPECT_NE(end_of(request, false).find("request_class"), std::string::npos);
  request.Clear();
  for (int i = 0; i < 257; ++i) request.add_operations();
  EXPECT_EQ(end_of(request, true), "number of operations=257: want 0 to 256");
}

TEST_F(SessionService, AClientThatDoesNotReadIsCutOffAndItsMemoryGoes) {
  TestSession session(server_.address());
  session.Greet(With("", 5));
  session.Reserve(10);
  v1::SessionRequest request;
  for (int i = 0; i < 256; ++i) request.add_operations()->mutable_extend()->set_total_tokens(1);
  for (auto& operation : *request.mutable_operations()) {
    operation.mutable_extend()->set_reservation_id("e1-" + std::string(100, '9'));
  }
  std::thread writer([&] {
    while (session.Send(request)) {
    }
  });
  EXPECT_TRUE(LeasesRun()) << "cut off, its session is without a stream";
  const grpc::Status end = session.End();
  session.Cut();  // or the writer might go on until its deadline
  writer.join();
  EXPECT_EQ(end.error_code(), grpc::RESOURCE_EXHAUSTED) << end.error_message();
  EXPECT_THAT(end.error_message(), testing::HasSubstr("without a result that was read"));
  server_.clock.Advance(seconds(6));
  EXPECT_TRUE(HeldAre(0));
}

TEST_F(SessionService, ManySessionsThatBreakAndResumeLeakNothing) {
  std::vector<std::string> tokens(8);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> clients;
    for (size_t i = 0; i < tokens.size(); ++i) {
      clients.emplace_back([&, i] {
        TestSession session(server_.address());
        const v1::Welcome welcome = session.Greet(With(tokens[i]));
        tokens[i] = welcome.resume_token();
        for (const v1::Reservation& held : welcome.reservations()) {
          EXPECT_TRUE(session.Release(held.reservation_id()).has_released());
        }
        EXPECT_TRUE(session.Reserve(3).has_reservation());
      });
    }
    for (std::thread& client : clients) client.join();
  }
  EXPECT_TRUE(LeasesRun());
  EXPECT_TRUE(Eventually([&] {
    server_.clock.Advance(seconds(31));
    return server_.AllFree();
  }));
  EXPECT_EQ(server_.server->violations(), 0);
  EXPECT_EQ(server_.Now().admitted, 160);
}

TEST_F(SessionService, AServerThatStopsLeavesTheLeasesToTheirTtl) {
  TestSession session(server_.address());
  session.Greet();
  session.Reserve(10);
  server_.server.reset();
  EXPECT_FALSE(session.End().ok());
  EXPECT_TRUE(server_.admission().With([&](AdmissionController& admission) {
    server_.clock.Advance(seconds(31));
    admission.Advance();
    return admission.Snapshot().reservations == 0;
  }));
}

}  // namespace
}  // namespace plimsoll
