// Callers who queue for room over the wire, and callers who go away.
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "plimsoll/v1/admission.grpc.pb.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class WaitingService : public testing::Test {
 protected:
  WaitingService() {
    server_.Start();
    client_ = server_.Connect();
    all_ = Granted(client_->Reserve(RequestOf(1600, 0))).id;
  }

  std::future<absl::StatusOr<Answer>> ReserveLater(const ReservationRequest& request,
                                                   Duration max_wait) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<Answer>>>();
    client_->ReserveAsync(request, max_wait, [promise](absl::StatusOr<Answer> answer) {
      promise->set_value(std::move(answer));
    });
    return promise->get_future();
  }
  bool WaitingAre(int64_t n) {
    return Eventually([&] { return server_.Now().waiting == n; });
  }

  TestServer server_;
  std::unique_ptr<Client> client_;
  std::string all_;  // holds the whole pool
};

TEST_F(WaitingService, AWaiterIsServedWhenRoomReturns) {
  auto answer = ReserveLater(RequestOf(1600, 0), seconds(60));
  ASSERT_TRUE(WaitingAre(1));
  EXPECT_TRUE(client_->Release(all_).ok());
  const absl::StatusOr<Answer> outcome = answer.get();
  EXPECT_EQ(Granted(outcome).blocks, Blocks(100));
  EXPECT_EQ(server_.Now().waited, 1);
  // The client confirms by itself: the grant outlives the window of five seconds.
  EXPECT_TRUE(Eventually([&] {
    return server_.admission().With([&](AdmissionController& admission) {
      return admission.Get(Granted(outcome).id)->confirmed;
    });
  }));
}

TEST_F(WaitingService, AWaitThatIsOverIsToldSo) {
  auto answer = ReserveLater(RequestOf(16, 0), seconds(20));
  ASSERT_TRUE(WaitingAre(1));
  server_.clock.Advance(seconds(21));
  const Refusal refusal = Refused(answer.get());
  EXPECT_EQ(refusal.reason, Reason::kWaitTimeout);
  EXPECT_EQ(refusal.decision, Decision::kWait);
  EXPECT_TRUE(WaitingAre(0));
}

TEST_F(WaitingService, NobodyWaitsForWhatCanNeverFit) {
  EXPECT_EQ(Refused(client_->Reserve(RequestOf(1601, 0), seconds(60))).decision, Decision::kNever);
}

TEST_F(WaitingService, DrainingTurnsWaitersAway) {
  auto answer = ReserveLater(RequestOf(16, 0), seconds(60));
  ASSERT_TRUE(WaitingAre(1));
  server_.server->StartDraining();
  EXPECT_EQ(Refused(answer.get()).reason, Reason::kDraining);
}

TEST_F(WaitingService, ACancelledWaitLeavesTheQueueAndLeaksNothing) {
  auto answer = ReserveLater(RequestOf(1600, 0), seconds(60));
  ASSERT_TRUE(WaitingAre(1));
  client_.reset();
  EXPECT_TRUE(absl::IsCancelled(answer.get().status()));
  EXPECT_TRUE(WaitingAre(0));
  client_ = server_.Connect();
  EXPECT_TRUE(client_->Release(all_).ok());
  EXPECT_TRUE(server_.AllFree());
}

TEST_F(WaitingService, ACallerWhoseDeadlinePassesLeavesTheQueue) {
  const auto stub = v1::AdmissionService::NewStub(ChannelTo(server_.address()));
  v1::ReserveCapacityRequest request;
  request.set_prompt_tokens(16);
  request.mutable_max_wait()->set_seconds(60);
  v1::ReserveCapacityResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(100));
  EXPECT_EQ(stub->ReserveCapacity(&context, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(WaitingAre(0));
}

// More waits than one connection may carry, and a release that must not queue behind them.
TEST_F(WaitingService, ManyWaitersAndAReleaseThatServesThem) {
  constexpr int kWaiters = 350;
  std::atomic<int> admitted = 0;
  for (int i = 0; i < kWaiters; ++i) {
    client_->ReserveAsync(RequestOf(16, 0), seconds(60), [&](absl::StatusOr<Answer> answer) {
      const Reservation granted = Granted(answer);
      admitted.fetch_add(1);
      client_->ReleaseAsync(granted.id, std::nullopt, [](absl::Status) {});
    });
  }
  ASSERT_TRUE(WaitingAre(kWaiters));
  EXPECT_TRUE(client_->Release(all_).ok());
  EXPECT_TRUE(Eventually([&] { return admitted == kWaiters && server_.AllFree(); }));
}

// Releases race with cancellations; whichever wins, nothing may stay behind.
TEST_F(WaitingService, GrantsThatRaceWithTheirCallersLeavingLeakNothing) {
  for (int round = 0; round < 50; ++round) {
    auto leaver = server_.Connect();
    for (int i = 0; i < 4; ++i) {
      leaver->ReserveAsync(RequestOf(16, 0), seconds(60), [](absl::StatusOr<Answer>) {});
    }
    ASSERT_TRUE(WaitingAre(4));
    std::thread releaser([&] { EXPECT_TRUE(client_->Release(all_).ok()); });
    leaver.reset();
    releaser.join();
    ASSERT_TRUE(WaitingAre(0));
    server_.clock.Advance(seconds(31));
    ASSERT_TRUE(Eventually([&] { return server_.AllFree(); })) << "round " << round;
    all_ = Granted(client_->Reserve(RequestOf(1600, 0))).id;
  }
}

TEST_F(WaitingService, AStormOfDeadlinesLeaksNothingAfterTheConfirmWindow) {
  ASSERT_TRUE(client_->Release(all_).ok());
  const auto stub = v1::AdmissionService::NewStub(ChannelTo(server_.address()));
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        v1::ReserveCapacityRequest request;
        request.set_prompt_tokens(16);
        if (i % 2 == 0) request.mutable_max_wait()->set_seconds(60);
        v1::ReserveCapacityResponse response;
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(i * 10));
        stub->ReserveCapacity(&context, request, &response);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  ASSERT_TRUE(WaitingAre(0));
  server_.clock.Advance(seconds(6));
  EXPECT_TRUE(Eventually([&] { return server_.AllFree(); }));
  EXPECT_EQ(server_.Now().waiting, 0);
  EXPECT_EQ(server_.server->violations(), 0);
}

// The answer comes on a thread that must not be the one to end the client's connection.
TEST_F(WaitingService, AClientMayGoAsSoonAsItsAnswerCame) {
  for (int i = 0; i < 300; ++i) {
    auto brief = server_.Connect();
    std::promise<void> answered;
    brief->ReserveAsync(RequestOf(16, 0), Duration::zero(),
                        [&](absl::StatusOr<Answer>) { answered.set_value(); });
    answered.get_future().wait();
  }
}

TEST(WaitingServiceFull, AFullQueueIsSaidToBeOverload) {
  TestServer server({.max_waiting = 1});
  server.Start();
  const std::unique_ptr<Client> client = server.Connect();
  Granted(client->Reserve(RequestOf(1600, 0)));
  client->ReserveAsync(RequestOf(16, 0), seconds(60), [](absl::StatusOr<Answer>) {});
  ASSERT_TRUE(Eventually([&] { return server.Now().waiting == 1; }));
  const absl::Status status = client->Reserve(RequestOf(16, 0), seconds(60)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

}  // namespace
}  // namespace plimsoll
