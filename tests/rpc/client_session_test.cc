// The client's session against real servers, over a wire that is cut and with servers that are
// started again. Leases run on the test's time.
#include "rpc/client_session.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <set>
#include <thread>

#include "kvcache/base/mutex.h"
#include "rpc/operator_client.h"
#include "tests/rpc/cuttable_wire.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

class ClientSessionTest : public testing::Test {
 protected:
  ClientSessionTest() { NextLife("e1", Blocks(100), Learning::kNever); }
  ~ClientSessionTest() override { session_.reset(); }

  void NextLife(const std::string& epoch, Blocks blocks, Learning learning = Learning::kAlways) {
    server_.reset();
    server_ = std::make_unique<TestServer>(TestServerOptions{
        .blocks = blocks, .listen = "unix:" + there_, .epoch = epoch, .learning = learning});
    server_->Start();
  }
  // Through the wire.
  SessionOptions Options(Duration retry_for) {
    return {.client = {.server = "unix:" + here_, .retry_for = retry_for},
            .name = "test",
            .ttl = seconds(20),
            .on_lost = [this](const LostReservation& lost) {
              const MutexLock lock(mutex_);
              lost_.push_back(lost);
            }};
  }
  ClientSession& Open(Duration retry_for = seconds(60)) {
    session_ = std::move(ClientSession::Open(Options(retry_for))).value();
    return *session_;
  }
  std::vector<LostReservation> Lost() {
    const MutexLock lock(mutex_);
    return lost_;
  }

  const TempDir folder_;
  const std::string here_ = folder_.File("here"), there_ = folder_.File("there");
  CuttableWire wire_{here_, there_};
  Mutex mutex_;
  std::vector<LostReservation> lost_;
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<ClientSession> session_;
};

TEST_F(ClientSessionTest, TheStreamIsTheLease) {
  ClientSession& session = Open();
  const Reservation granted = Granted(session.Reserve(RequestOf(100, 0)));
  EXPECT_EQ(granted.blocks, Blocks(7));
  server_->clock.Advance(seconds(1000));
  EXPECT_EQ(Granted(session.Extend(granted.id, Tokens(120))).blocks, Blocks(8));
  EXPECT_TRUE(session.Holds(granted.id));
  EXPECT_EQ(Refused(session.Reserve(RequestOf(16 * 93, 0))).missing, Blocks(1));
  EXPECT_EQ(session.Reserve(RequestOf(0, 0)).status().message(),
            "prompt_tokens=0: want 1 to 1099511627776");
  EXPECT_TRUE(absl::IsNotFound(session.Extend("e1-99", Tokens(1)).status()));
  EXPECT_TRUE(session.Release(granted.id, Tokens(110)).ok());
  EXPECT_FALSE(session.Holds(granted.id));
  EXPECT_TRUE(server_->AllFree());
  EXPECT_TRUE(Lost().empty());
}

TEST_F(ClientSessionTest, ABatchIsDoneTogetherAndAWaitEndsWhenRoomComesBack) {
  ClientSession& session = Open();
  const std::string all = Granted(session.Reserve(RequestOf(1600, 0))).id;
  std::atomic<bool> waited = false;
  session.Ask(ReserveAction{.request = RequestOf(1600, 0), .max_wait = seconds(100)},
              [&](const Outcome& outcome) {
                EXPECT_TRUE(outcome.ok() && std::holds_alternative<Reservation>(**outcome));
                waited = true;
              });
  ASSERT_TRUE(Eventually([&] { return server_->Now().waiting == 1; }));
  const auto outcomes = session.Batch({ExtendAction{.id = all, .total = Tokens(1601)},
                                       ReleaseAction{.id = all}, ReleaseAction{.id = "e1-77"}});
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_TRUE(std::holds_alternative<Refusal>(**outcomes[0]));
  EXPECT_FALSE(outcomes[1]->has_value());
  EXPECT_TRUE(absl::IsNotFound(outcomes[2].status()));
  EXPECT_TRUE(Eventually([&] { return waited.load(); }));
  for (const Outcome& outcome : session.Batch(std::vector<Action>(257, ReleaseAction{.id = all}))) {
    EXPECT_EQ(outcome.status().message(), "number of operations=257: want 1 to 256");
  }
}

TEST_F(ClientSessionTest, AWireThatIsCutIsResumedWithinTheTtl) {
  ClientSession& session = Open();
  const std::string id = Granted(session.Reserve(RequestOf(100, 0))).id;
  for (int cut = 0; cut < 3; ++cut) {
    wire_.Cut();
    std::thread mends([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      wire_.Mend();
    });
    EXPECT_TRUE(session.Holds(id)) << "for its ttl";
    EXPECT_EQ(Granted(session.Extend(id, Tokens(120 + 16 * cut))).blocks, Blocks(8 + cut));
    mends.join();
    server_->clock.Advance(seconds(1000));
  }
  EXPECT_TRUE(session.Holds(id));
  EXPECT_TRUE(Lost().empty());
}

TEST_F(ClientSessionTest, AnIdleOneHoldsForTheTtlFromTheLastSignOfLife) {
  SessionOptions options = Options(seconds(60));
  options.ttl = std::chrono::milliseconds(600);
  session_ = std::move(ClientSession::Open(options)).value();
  const std::string id = Granted(session_->Reserve(RequestOf(100, 0))).id;
  std::this_thread::sleep_for(2 * options.ttl);
  EXPECT_TRUE(Eventually([&] { return session_->Holds(id); })) << "the server answers";
  wire_.Cut();
  EXPECT_TRUE(Eventually([&] { return !session_->Holds(id); }));
  wire_.Mend();
  EXPECT_TRUE(Eventually([&] { return session_->Holds(id); })) << "the server had it all the time";
  EXPECT_TRUE(Lost().empty());
}

// More wait than a server lets anybody have without a result, before the wire is cut and after.
TEST_F(ClientSessionTest, AReleaseDoesNotWaitForThoseThatWaitForIt) {
  ClientSession& session = Open();
  const std::string half = Granted(session.Reserve(RequestOf(800, 0))).id;
  const std::string other = Granted(session.Reserve(RequestOf(800, 0))).id;
  std::atomic<int> granted = 0, released = 0;
  for (int i = 0; i < 5000; ++i) {
    session.Ask(ReserveAction{.request = RequestOf(16, 0), .max_wait = seconds(100)},
                [&](const Outcome& outcome) { granted += outcome.ok(); });
  }
  const auto release = [&](const std::string& id) {
    session.Ask(ReleaseAction{.id = id}, [&](const Outcome& outcome) { released += outcome.ok(); });
  };
  release(half);
  EXPECT_TRUE(Eventually([&] { return released == 1 && granted == 50; }));
  wire_.Cut();
  release(other);
  wire_.Mend();
  EXPECT_TRUE(Eventually([&] { return released == 2 && granted == 100; }));
  session.Close();
}

TEST_F(ClientSessionTest, WhatOutlivedItsTtlIsLostAndSaid) {
  ClientSession& session = Open();
  const std::string id = Granted(session.Reserve(RequestOf(100, 0))).id;
  const std::string other = Granted(session.Reserve(RequestOf(100, 0))).id;
  wire_.Cut();
  ASSERT_TRUE(Eventually([&] {
    server_->clock.Advance(seconds(21));  // it may not have noticed yet
    return server_->AllFree();
  }));
  wire_.Mend();
  ASSERT_TRUE(Eventually([&] { return Lost().size() == 2; }));
  EXPECT_FALSE(session.Holds(id));
  EXPECT_EQ((std::set<std::string>{Lost()[0].id, Lost()[1].id}),
            (std::set<std::string>{id, other}));
  EXPECT_FALSE(Lost()[0].stale_epoch || Lost()[0].no_room || Lost()[0].revoked);
  EXPECT_EQ(Granted(session.Reserve(RequestOf(16, 0))).blocks, Blocks(1));
}

TEST_F(ClientSessionTest, WhatARequestIdWasGrantedAndHasEndedIsNoGrant) {
  ClientSession& session = Open();
  ReservationRequest named = RequestOf(100, 0);
  named.request_id = "mine";
  const std::string id = Granted(session.Reserve(named)).id;
  EXPECT_EQ(Granted(session.Reserve(named)).id, id);
  wire_.Cut();
  ASSERT_TRUE(Eventually([&] {
    server_->clock.Advance(seconds(21));
    return server_->AllFree();
  }));
  wire_.Mend();
  const absl::Status status = session.Reserve(named).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_EQ(
      status.message(),
      "reservation " + id + ", which this request_id was granted, has ended: want another id");
  EXPECT_FALSE(session.Holds(id));
  named.request_id = "another";
  EXPECT_TRUE(session.Holds(Granted(session.Reserve(named)).id));
}

TEST_F(ClientSessionTest, ClaimsOfALedgerThatIsStartedAgain) {
  ClientSession& session = Open();
  const std::string small = Granted(session.Reserve(RequestOf(640, 0))).id;
  const std::string large = Granted(session.Reserve(RequestOf(656, 0))).id;
  NextLife("e2", Blocks(60));
  ASSERT_TRUE(Eventually([&] { return !Lost().empty(); }));
  EXPECT_EQ(server_->Now().reservations, 1);
  EXPECT_TRUE(Lost()[0].no_room);
  const std::string kept = session.Holds(small) ? small : large;
  EXPECT_NE(Lost()[0].id, kept);
  EXPECT_EQ(session.IdNow(kept), "e2-1");
  server_->clock.Advance(seconds(30));  // until it has learned, nobody grows
  EXPECT_EQ(Granted(session.Extend(kept, Tokens(960))).id, kept);
  NextLife("e3", Blocks(60));
  EXPECT_EQ(Granted(session.Extend(kept, Tokens(16))).blocks, Blocks(60)) << "as it was extended";
  EXPECT_TRUE(session.Release(kept).ok());
  EXPECT_TRUE(server_->AllFree());
  NextLife("e4", Blocks(60), Learning::kNever);
  EXPECT_EQ(Granted(session.Reserve(RequestOf(16, 0))).epoch, "e4");
  EXPECT_EQ(Lost().size(), 1u);
}

// More than one hello takes.
TEST_F(ClientSessionTest, ClaimsThousands) {
  NextLife("e1", Blocks(2500), Learning::kNever);
  ClientSession& session = Open();
  std::set<std::string> ids;
  for (int i = 0; i < 10; ++i) {
    for (const Outcome& outcome :
         session.Batch(std::vector<Action>(250, ReserveAction{.request = RequestOf(16, 0)}))) {
      ids.insert(std::get<Reservation>(**outcome).id);
    }
  }
  EXPECT_EQ(ids.size(), 2500u);
  NextLife("e2", Blocks(2500));
  EXPECT_TRUE(Eventually([&] { return server_->Now().reservations == 2500; }));
  EXPECT_EQ(Granted(session.Extend(*ids.begin(), Tokens(1))).id, *ids.begin());
  server_->clock.Advance(seconds(1000));
  EXPECT_EQ(server_->Now().reservations, 2500) << "the stream keeps them all";
  EXPECT_TRUE(Lost().empty());
  wire_.Cut();
  for (const std::string& id : {*ids.begin(), *ids.rbegin()}) {
    const std::string id_now = session.IdNow(id);
    server_->admission().With(
        [&](AdmissionController& admission) { EXPECT_TRUE(admission.Revoke(id_now).ok()); });
  }
  wire_.Mend();
  EXPECT_TRUE(Eventually([&] { return Lost().size() == 2; })) << "of those of one hello and others";
  EXPECT_FALSE(session.Holds(*ids.begin()) || session.Holds(*ids.rbegin()));
  EXPECT_EQ(Granted(session.Extend(*std::next(ids.begin()), Tokens(1))).blocks, Blocks(1));
}

TEST_F(ClientSessionTest, ARevokedOneIsSaid) {
  ClientSession& session = Open();
  const std::string id = Granted(session.Reserve(RequestOf(100, 0))).id;
  const auto boss =
      std::move(OperatorClient::Create({.server = server_->server->addresses().front()})).value();
  ASSERT_TRUE(boss->Revoke(id).ok());
  ASSERT_TRUE(Eventually([&] { return !Lost().empty(); }));
  EXPECT_EQ(Lost()[0].id, id);
  EXPECT_TRUE(Lost()[0].revoked);
  EXPECT_FALSE(session.Holds(id));
}

TEST_F(ClientSessionTest, WithoutAServerAnOperationIsUnavailableAndLeavesNothingBehind) {
  ClientSession& session = Open(Duration::zero());
  const std::string id = Granted(session.Reserve(RequestOf(16, 0))).id;
  const std::string all = Granted(server_->Connect()->Reserve(RequestOf(99 * 16, 0))).id;
  std::atomic<bool> told = false;
  session.Ask(ReserveAction{.request = RequestOf(160, 0), .max_wait = seconds(100)},
              [&](const Outcome& outcome) {
                EXPECT_TRUE(absl::IsUnavailable(outcome.status())) << outcome.status();
                told = true;
              });
  ASSERT_TRUE(Eventually([&] { return server_->Now().waiting == 1; }));
  wire_.Cut();
  ASSERT_TRUE(Eventually([&] { return told.load(); }));
  const absl::Status status = session.Reserve(RequestOf(16, 0)).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(std::string(status.message()).rfind("no server at unix:", 0), 0) << status;
  EXPECT_TRUE(absl::IsUnavailable(session.Release(id)));
  EXPECT_FALSE(session.Holds(id)) << "its holder let go of it";
  EXPECT_TRUE(server_->Connect()->Release(all).ok());
  wire_.Mend();
  EXPECT_TRUE(Eventually([&] { return server_->AllFree(); }))
      << "and so does the server, when it hears of it";
  EXPECT_TRUE(Lost().empty());
}

TEST_F(ClientSessionTest, ClosingEndsWhatIsAskedAndWhatWillBe) {
  ClientSession& session = Open();
  const std::string id = Granted(session.Reserve(RequestOf(1600, 0))).id;
  std::atomic<int> told = 0;
  session.Ask(ReserveAction{.request = RequestOf(16, 0), .max_wait = seconds(100)},
              [&](const Outcome& outcome) {
                EXPECT_TRUE(absl::IsCancelled(outcome.status())) << outcome.status();
                ++told;
              });
  ASSERT_TRUE(Eventually([&] { return server_->Now().waiting == 1; }));
  session.Close();
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(absl::IsCancelled(session.Release(id)));
  EXPECT_TRUE(Eventually([&] { return server_->Now().waiting == 0; }));
  EXPECT_EQ(server_->Now().reservations, 1) << "it lives for the ttl";
  EXPECT_TRUE(Eventually([&] {
    server_->clock.Advance(seconds(20));
    return server_->AllFree();
  }));
}

// Threads that reserve and release while the wire is cut again and again: every answer is one, and
// at the end nothing is held that nobody knows of.
TEST_F(ClientSessionTest, NothingIsLostOrLeakedWhileTheWireIsCut) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE(seed);
  ClientSession& session = Open();
  std::atomic<bool> stop = false;
  std::atomic<int> granted = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        const absl::StatusOr<Answer> answer = session.Reserve(RequestOf(160, 0), seconds(10));
        ASSERT_TRUE(answer.ok()) << answer.status();
        if (std::holds_alternative<Refusal>(*answer)) continue;
        const absl::Status released = session.Release(Granted(answer).id);
        ASSERT_TRUE(released.ok()) << released;
        granted.fetch_add(1);
      }
    });
  }
  std::minstd_rand random(static_cast<unsigned>(seed));
  for (int cut = 0; cut < 8; ++cut) {
    const int before = granted;
    ASSERT_TRUE(Eventually([&] { return granted > before; }));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
    wire_.Cut();
    wire_.Mend();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(server_->AllFree());
  EXPECT_TRUE(Lost().empty());
}

TEST(ClientSession, RefusesOptionsThatMeanNothing) {
  EXPECT_TRUE(
      absl::IsInvalidArgument(ClientSession::Open({.client = {.server = "nowhere"}}).status()));
  EXPECT_EQ(
      ClientSession::Open({.client = {.security = {.ca = "/nonexistent"}}}).status().message(),
      "/nonexistent: is empty or cannot be read");
}

TEST(ClientSession, WhatTheServerDoesNotTakeIsSaidToWhoAsks) {
  TestServer server;
  server.Start();
  std::vector<std::string> lost;
  const auto session = std::move(ClientSession::Open({.client = {.server = server.address()},
                                                      .name = std::string(129, 'n')}))
                           .value();
  const absl::Status status = session->Reserve(RequestOf(16, 0)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("client_name"), std::string::npos) << status;
  EXPECT_EQ(session->Reserve(RequestOf(16, 0)).status(), status) << "and to all that follow";
}

}  // namespace
}  // namespace plimsoll
