// Reserve, extend, renew and release through real sockets.
#include <gtest/gtest.h>

#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

class AdmissionService : public testing::TestWithParam<bool> {
 protected:
  AdmissionService() : server_({.unix_socket = GetParam()}) {
    server_.Start();
    client_ = server_.Connect();
  }

  TestServer server_;
  std::unique_ptr<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Transport, AdmissionService, testing::Bool(),
                         [](const auto& transport) { return transport.param ? "Unix" : "Tcp"; });

// By hand: 100 + 60 tokens are 10 blocks of 16; of 100 blocks 90 stay free.
TEST_P(AdmissionService, ReservesAndGivesBack) {
  const Reservation granted = Granted(client_->Reserve(RequestOf(100, 60)));
  EXPECT_EQ(granted.id, "e1-1");
  EXPECT_EQ(granted.epoch, "e1");
  EXPECT_EQ(granted.blocks, Blocks(10));
  EXPECT_EQ(granted.prompt_tokens, Tokens(100));
  EXPECT_EQ(granted.max_new_tokens, Tokens(60));
  EXPECT_EQ(granted.ttl, seconds(30));
  EXPECT_TRUE(granted.confirmed);

  const CapacityReport held = *client_->GetCapacity();
  EXPECT_EQ(held.epoch, "e1");
  EXPECT_EQ(held.pool, "default");
  EXPECT_EQ(held.block_tokens, Tokens(16));
  EXPECT_EQ(held.snapshot.blocks.reserved, Blocks(10));
  EXPECT_EQ(held.snapshot.blocks.free, Blocks(90));
  EXPECT_EQ(held.snapshot.headroom, Blocks(90));
  EXPECT_EQ(held.snapshot.reservations, 1);

  EXPECT_TRUE(client_->Release(granted.id, Tokens(120)).ok());
  EXPECT_TRUE(client_->Release(granted.id).ok()) << "releasing twice is harmless";
  EXPECT_EQ(client_->GetCapacity()->snapshot.blocks.free, Blocks(100));
}

// The first of the tenant computes four blocks; its next needs two more, another tenant all six. A
// server that keeps nothing promises the whole.
TEST_P(AdmissionService, WhatAPromptBeginsWithIsPromisedOnce) {
  const std::vector<uint64_t> hashes = {11, 12, 13, 14};
  const auto request_of = [&](const std::string& tenant) {
    ReservationRequest request = RequestOf(16 * 6, 0);
    request.tenant = tenant;
    request.prefix_hashes = hashes;
    return request;
  };
  EXPECT_EQ(Granted(client_->Reserve(request_of("a"))).prefix_blocks, Blocks(0));
  EXPECT_EQ(server_.Now().blocks.reserved, Blocks(6));

  TestServer sharing({.unix_socket = GetParam(), .eviction = Eviction::kLru});
  sharing.Start();
  const auto client = sharing.Connect();
  const std::string first = Granted(client->Reserve(request_of("a"))).id;
  sharing.admission().With([&](AdmissionController& admission) {
    const absl::StatusOr<SequenceId> sequence = admission.BeginSequence(first);
    ASSERT_TRUE(sequence.ok());
    admission.cache().Commit(*admission.cache().PlanAppend(*sequence, Tokens(16 * 4)));
    admission.Name(first, BlockNames::OfHashes(hashes));
  });
  const Reservation second = Granted(client->Reserve(request_of("a")));
  EXPECT_EQ(second.blocks, Blocks(6));
  EXPECT_EQ(second.prefix_blocks, Blocks(4));
  EXPECT_EQ(sharing.Now().blocks.live, Blocks(4));
  EXPECT_EQ(sharing.Now().blocks.reserved, Blocks(2 + 2));
  EXPECT_EQ(Granted(client->Reserve(request_of("b"))).prefix_blocks, Blocks(0));
  EXPECT_EQ(sharing.Now().blocks.reserved, Blocks(2 + 2 + 6));
  ReservationRequest more = RequestOf(16 * 3, 0);
  more.prefix_hashes = hashes;
  EXPECT_EQ(client->Reserve(more).status().message(),
            "prefix_hashes=4 hashes: want at most one for each full block of 16 prompt tokens, 3");
}

TEST_P(AdmissionService, ToldToWaitWhenTheRoomIsTaken) {
  ASSERT_EQ(Granted(client_->Reserve(RequestOf(960, 0))).blocks, Blocks(60));
  const Refusal refusal = Refused(client_->Reserve(RequestOf(960, 0)));
  EXPECT_EQ(refusal.decision, Decision::kWait);
  EXPECT_EQ(refusal.reason, Reason::kNoFreeBlocks);
  EXPECT_EQ(refusal.needed, Blocks(60));
  EXPECT_EQ(refusal.missing, Blocks(20));
  EXPECT_EQ(refusal.largest_fit, Tokens(1600));
  EXPECT_GT(refusal.retry_after, Duration::zero());
}

TEST_P(AdmissionService, ToldNeverWhenAnEmptyPoolWouldNotDo) {
  const Refusal refusal = Refused(client_->Reserve(RequestOf(1600, 1)));
  EXPECT_EQ(refusal.decision, Decision::kNever);
  EXPECT_EQ(refusal.reason, Reason::kNeverFits);
  EXPECT_EQ(refusal.binding_term, "pool");
  EXPECT_EQ(refusal.largest_fit, Tokens(1600));
}

TEST_P(AdmissionService, AnUnconfirmedGrantEndsWithTheConfirmWindowAndAConfirmedOneWithItsTtl) {
  const Reservation kept = Granted(client_->Reserve(RequestOf(16, 0)));
  absl::StatusOr<Answer> unconfirmed;
  server_.admission().With(
      [&](AdmissionController& admission) { unconfirmed = admission.Reserve(RequestOf(16, 0)); });
  server_.clock.Advance(seconds(6));
  EXPECT_TRUE(Eventually([&] { return server_.Now().reservations == 1; }));
  const Renewal renewal = *client_->Renew({kept.id, Granted(unconfirmed).id});
  ASSERT_EQ(renewal.renewed.size(), 1);
  EXPECT_EQ(renewal.renewed[0].id, kept.id);
  ASSERT_EQ(renewal.lost.size(), 1);
  EXPECT_EQ(renewal.lost[0].id, Granted(unconfirmed).id);
  EXPECT_FALSE(renewal.lost[0].stale_epoch);
  server_.clock.Advance(seconds(31));
  EXPECT_TRUE(Eventually([&] { return server_.AllFree(); }));
  EXPECT_EQ(server_.Now().expired, 2);
}

TEST_P(AdmissionService, RenewingKeepsAReservation) {
  ReservationRequest request = RequestOf(16, 16);
  request.ttl = seconds(10);
  const Reservation granted = Granted(client_->Reserve(request));
  EXPECT_EQ(granted.ttl, seconds(10));
  for (int i = 0; i < 5; ++i) {
    server_.clock.Advance(seconds(9));
    EXPECT_EQ(client_->Renew({granted.id})->renewed.size(), 1) << "renewal " << i;
  }
  server_.clock.Advance(seconds(11));
  EXPECT_EQ(client_->Renew({granted.id})->lost.size(), 1);
}

TEST_P(AdmissionService, ExtensionIsAbsoluteAndARefusedOneChangesNothing) {
  const Reservation granted = Granted(client_->Reserve(RequestOf(100, 60)));
  EXPECT_EQ(Granted(client_->Extend(granted.id, Tokens(176))).blocks, Blocks(11));
  EXPECT_EQ(Granted(client_->Extend(granted.id, Tokens(176))).blocks, Blocks(11));
  EXPECT_EQ(Granted(client_->Extend(granted.id, Tokens(1))).blocks, Blocks(11));
  EXPECT_EQ(Refused(client_->Extend(granted.id, Tokens(1601))).decision, Decision::kNever);
  EXPECT_EQ(server_.Now().blocks.reserved, Blocks(11));
}

TEST_P(AdmissionService, AskingReservesNothing) {
  const Reservation draft = Granted(client_->CanAdmit(RequestOf(100, 60)));
  EXPECT_EQ(draft.id, "");
  EXPECT_EQ(draft.blocks, Blocks(10));
  EXPECT_EQ(Refused(client_->CanAdmit(RequestOf(1601, 0))).decision, Decision::kNever);
  EXPECT_TRUE(server_.AllFree());
  EXPECT_EQ(server_.Now().revision, server_.admission().published().Read().revision);
}

TEST_P(AdmissionService, TheSameRequestIdGivesTheSameReservation) {
  ReservationRequest request = RequestOf(100, 60);
  request.request_id = "0f8fad5b-d9cb-469f-a165-70867728950e";
  const Reservation first = Granted(client_->Reserve(request));
  EXPECT_EQ(Granted(client_->Reserve(request)).id, first.id);
  EXPECT_EQ(server_.Now().reservations, 1);
  request.max_new_tokens = Tokens(61);
  const absl::Status other = client_->Reserve(request).status();
  EXPECT_TRUE(absl::IsInvalidArgument(other)) << other;
  EXPECT_NE(other.message().find("request_id"), absl::string_view::npos) << other;
  EXPECT_FALSE(client_->CanAdmit(request).ok()) << "asking fails where reserving would";
}

TEST_P(AdmissionService, AnIdOfAnotherServerLifeIsRefusedByName) {
  for (const absl::Status& status :
       {client_->Release("e0-1"), client_->Extend("e0-1", Tokens(1)).status()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_NE(status.message().find("STALE_EPOCH"), absl::string_view::npos) << status;
  }
  const Renewal renewal = *client_->Renew({"e0-1"});
  ASSERT_EQ(renewal.lost.size(), 1);
  EXPECT_TRUE(renewal.lost[0].stale_epoch);
}

TEST_P(AdmissionService, AnUnknownIdIsNotFound) {
  for (const char* id :
       {"e1-99", "e1-0", "e1-", "e1", "-1", "e1-99999999999999999999", "nonsense"}) {
    EXPECT_TRUE(absl::IsNotFound(client_->Release(id))) << id;
    EXPECT_TRUE(absl::IsNotFound(client_->Extend(id, Tokens(1)).status())) << id;
    EXPECT_EQ(client_->Renew({id})->lost.size(), 1) << id;
  }
}

TEST_P(AdmissionService, NewRequestsAreToldOfDraining) {
  const Reservation granted = Granted(client_->Reserve(RequestOf(16, 0)));
  server_.server->StartDraining();
  EXPECT_EQ(Refused(client_->Reserve(RequestOf(16, 0))).reason, Reason::kDraining);
  EXPECT_TRUE(client_->GetCapacity()->snapshot.draining);
  EXPECT_EQ(client_->Renew({granted.id})->renewed.size(), 1) << "holders go on";
  EXPECT_TRUE(client_->Release(granted.id).ok());
}

TEST_P(AdmissionService, TheServerDescribesItself) {
  const ServerInfo info = *client_->GetServerInfo();
  EXPECT_EQ(info.version, "test");
  EXPECT_EQ(info.epoch, "e1");
  EXPECT_EQ(info.mode, ServerMode::kLedger);
  EXPECT_EQ(info.device, "none");
  EXPECT_FALSE(info.loop.has_value());
}

TEST(AdmissionServiceRestart, TheNextLifeRefusesOldIdsAndTheClientFindsItAgain) {
  auto first = std::make_unique<TestServer>();
  first->Start();
  const std::unique_ptr<Client> client = first->Connect();
  const Reservation granted = Granted(client->Reserve(RequestOf(16, 0)));
  const std::string address = first->address();
  first.reset();
  EXPECT_TRUE(absl::IsUnavailable(client->Release(granted.id)));

  const SystemClock clock;
  const auto cache = std::move(KvCache::Create({.capacity = Blocks(10)})).value();
  SharedAdmission admission(
      std::move(AdmissionController::Create({.epoch = "e2"}, *cache, clock)).value());
  const auto second = Server::Start(
      {.listen = {address}, .info = {.version = "", .epoch = "e2", .model = "", .device = "none"}},
      admission, clock, nullptr);
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_TRUE(Eventually([&] { return client->GetCapacity().ok(); }));
  EXPECT_EQ(client->GetCapacity()->epoch, "e2");
  EXPECT_TRUE(absl::IsFailedPrecondition(client->Release(granted.id)));
}

}  // namespace
}  // namespace plimsoll
