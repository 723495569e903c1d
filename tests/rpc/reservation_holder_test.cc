// A client that keeps what it was granted, against a real server whose leases run on the test's
// time.
#include <algorithm>
#include <array>
#include <future>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "rpc/attempts.h"
#include "rpc/reservation_holder.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

std::unique_ptr<ReservationHolder> HolderOf(const std::string& address,
                                            const SafeCapacityOptions& safe = {}) {
  return std::move(ReservationHolder::Create({.client = {.server = address}, .safe = safe}))
      .value();
}

TEST(ReservationHolder, RenewsUntilItReleases) {
  TestServer server;
  server.Start();
  const auto holder = HolderOf(server.address());
  ReservationRequest request = RequestOf(100, 0);
  request.ttl = std::chrono::milliseconds(900);
  const absl::StatusOr<Answer> answer = holder->Reserve(request);
  const std::string id = Granted(answer).id;
  for (int life = 0; life < 3; ++life) {
    // Within a third of the ttl of real time it says that it lives, at whatever time of the server.
    server.clock.Advance(std::chrono::milliseconds(800));
    const Instant end = server.clock.Now() + request.ttl;
    EXPECT_TRUE(Eventually([&] {
      return server.admission().With(
          [&](AdmissionController& admission) { return admission.Get(id)->expires == end; });
    })) << life;
  }
  EXPECT_TRUE(holder->Holds(id));
  ASSERT_TRUE(holder->Release(id).ok());
  EXPECT_FALSE(holder->Holds(id));
  EXPECT_TRUE(server.AllFree());
}

TEST(ReservationHolder, SaysWhatWasLost) {
  TestServer server;
  server.Start();
  std::promise<std::string> lost;
  const auto holder =
      std::move(ReservationHolder::Create(
                    {.client = {.server = server.address()},
                     .on_lost = [&](const LostReservation& its) { lost.set_value(its.id); }}))
          .value();
  ReservationRequest request = RequestOf(100, 0);
  request.ttl = std::chrono::milliseconds(900);
  const absl::StatusOr<Answer> answer = holder->Reserve(request);
  const std::string id = Granted(answer).id;
  server.clock.Advance(std::chrono::seconds(1));
  EXPECT_EQ(lost.get_future().get(), id);
  EXPECT_FALSE(holder->Holds(id));
}

TEST(ReservationHolder, HoldsNothingForLongerThanItsLeaseWhereNoServerAnswers) {
  TestServer server;
  server.Start();
  bool told = false;
  const auto holder = std::move(ReservationHolder::Create(
                                    {.client = {.server = server.address()},
                                     .on_lost = [&](const LostReservation&) { told = true; }}))
                          .value();
  ReservationRequest request = RequestOf(100, 0);
  request.ttl = std::chrono::seconds(2);
  const absl::StatusOr<Answer> answer = holder->Reserve(request);
  const std::string id = Granted(answer).id;
  EXPECT_TRUE(holder->Holds(id));
  server.server.reset();
  EXPECT_TRUE(Eventually([&] { return !holder->Holds(id); }));
  holder->Close();
  EXPECT_FALSE(told) << "nobody was there to say so";
}

TEST(ReservationHolder, ClosedItAsksNothingMore) {
  TestServer server;
  server.Start();
  const auto holder = HolderOf(server.address());
  holder->Close();
  holder->Close();
  EXPECT_TRUE(absl::IsCancelled(holder->Reserve(RequestOf(100, 0)).status()));
  EXPECT_TRUE(server.AllFree());
}

TEST(ReservationHolder, AnObjectGivesBackWhatItHolds) {
  TestServer server;
  server.Start();
  const auto holder = HolderOf(server.address());
  {
    auto answer = holder->Hold(RequestOf(100, 0));
    ASSERT_TRUE(answer.ok());
    auto held = std::get<HeldReservation>(*std::move(answer));
    EXPECT_FALSE(held.local());
    EXPECT_FALSE(held.lost());
    EXPECT_EQ(server.Now().blocks.reserved, Blocks(7));
    ASSERT_TRUE(held.Extend(Tokens(120)).ok());
    EXPECT_EQ(held.reservation().blocks, Blocks(8));
    const auto refused = holder->Hold(RequestOf(10000, 0));
    ASSERT_TRUE(refused.ok());
    EXPECT_EQ(std::get<Refusal>(*refused).reason, Reason::kNeverFits);
  }
  EXPECT_TRUE(server.AllFree());
  EXPECT_EQ(server.Now().released, 1);
}

TEST(ReservationHolder, AnAsynchronousGrantIsKeptToo) {
  TestServer server;
  server.Start();
  const auto holder = HolderOf(server.address());
  std::promise<std::string> id;
  holder->ReserveAsync(
      RequestOf(100, 0), Duration::zero(),
      [&](const absl::StatusOr<Answer>& answer) { id.set_value(Granted(answer).id); });
  EXPECT_TRUE(holder->Holds(id.get_future().get()));
}

TEST(ReservationHolder, GrantsTheSafeCapacityWithoutAServer) {
  const TempDir folder;
  const auto holder =
      HolderOf("unix:" + folder.File("nobody"), {.requests = 1, .blocks = Blocks(7)});
  {
    auto answer = holder->Hold(RequestOf(100, 0));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_TRUE(std::get<HeldReservation>(*answer).local());
    EXPECT_TRUE(absl::IsUnavailable(holder->Reserve(RequestOf(1, 0)).status()));
  }
  EXPECT_TRUE(holder->Reserve(RequestOf(100, 0)).ok());
}

TEST(ReservationHolder, RefusesOptionsThatMeanNothing) {
  const auto bad = ReservationHolder::Create({.safe = {.block_tokens = Tokens(0)}});
  EXPECT_EQ(bad.status().message(), "safe.block_tokens=0: want at least 1");
  EXPECT_TRUE(absl::IsInvalidArgument(
      ReservationHolder::Create({.client = {.server = "nowhere"}}).status()));
}

// A ledger at one address, life after life, and a holder that goes on: with a session and without.
class HolderOfALedger : public testing::TestWithParam<bool> {
 protected:
  HolderOfALedger() {
    NextLife("e1", Blocks(100));
    holder_ = std::move(ReservationHolder::Create({.client = {.server = address_},
                                                   .session = GetParam(),
                                                   .on_lost =
                                                       [this](const LostReservation& lost) {
                                                         const MutexLock lock(mutex_);
                                                         lost_.push_back(lost);
                                                       }}))
                  .value();
  }
  void NextLife(const std::string& epoch, Blocks blocks, Learning learning = Learning::kAlways) {
    server_.reset();
    server_ = std::make_unique<TestServer>(
        TestServerOptions{.blocks = blocks,
                          .listen = address_,
                          .epoch = epoch,
                          .learning = epoch == "e1" ? Learning::kNever : learning});
    server_->Start();
  }
  std::string Hold(int64_t blocks, Duration ttl = std::chrono::hours(1)) {
    ReservationRequest request = RequestOf(16 * blocks, 0);
    request.ttl = ttl;
    request.tenant = "a";
    return Granted(holder_->Reserve(request)).id;
  }
  std::vector<LostReservation> Lost() {
    const MutexLock lock(mutex_);
    return lost_;
  }
  // Until a call finds the server that was started again.
  absl::StatusOr<Answer> Extend(const std::string& id, int64_t total) {
    absl::StatusOr<Answer> answer = absl::UnknownError("");
    EXPECT_TRUE(Eventually([&] {
      answer = holder_->Extend(id, Tokens(total));
      return !absl::IsUnavailable(answer.status());
    }));
    return answer;
  }

  const TempDir folder_;
  const std::string address_ = "unix:" + folder_.File("socket");
  Mutex mutex_;
  std::vector<LostReservation> lost_;
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<ReservationHolder> holder_;  // goes first: it calls back
};

TEST_P(HolderOfALedger, GoesOnHoldingUnderTheIdsThatItWasGranted) {
  const std::string one = Hold(7), other = Hold(5);
  ASSERT_TRUE(Extend(one, 120).ok());
  for (const std::string epoch : {"e2", "e3", "e4"}) {
    NextLife(epoch, Blocks(100), epoch == "e3" ? Learning::kWhenTold : Learning::kAlways);
    const absl::StatusOr<Answer> extended = Extend(one, 120);
    EXPECT_EQ(Granted(extended).id, one);
    EXPECT_EQ(Granted(extended).blocks, Blocks(8)) << "as it was extended before";
    EXPECT_EQ(holder_->IdNow(one).rfind(epoch + "-", 0), 0) << holder_->IdNow(one);
    EXPECT_TRUE(Eventually([&] { return server_->Now().reservations == 2; }))
        << "the other one is claimed though it is not due for long";
    EXPECT_EQ(server_->Now().blocks.reserved, Blocks(13));
    EXPECT_TRUE(holder_->Holds(one));
    EXPECT_TRUE(holder_->Holds(holder_->IdNow(one)));
    EXPECT_TRUE(holder_->Holds(other));
  }
  EXPECT_EQ(server_->admission().With([&](AdmissionController& admission) {
    return admission.Get(holder_->IdNow(one))->tenant;
  }),
            "a");
  EXPECT_EQ(holder_->Renew(one)->id, one);
  EXPECT_TRUE(holder_->Release(one).ok());
  EXPECT_TRUE(holder_->Release(other).ok());
  EXPECT_FALSE(holder_->Holds(one));
  EXPECT_TRUE(server_->AllFree());
  EXPECT_TRUE(Lost().empty());
}

TEST_P(HolderOfALedger, IsToldWhatASmallerLifeHasNoRoomFor) {
  const std::vector<std::string> ids = {Hold(40), Hold(41), Hold(19)};
  NextLife("e2", Blocks(60));
  EXPECT_TRUE(Extend(ids[0], 16).ok());
  ASSERT_TRUE(Eventually([&] { return server_->Now().reservations == 2 && !Lost().empty(); }));
  EXPECT_EQ(server_->Now().blocks.reserved, Blocks(59));
  ASSERT_EQ(Lost().size(), 1u);
  EXPECT_EQ(Lost()[0].id, ids[1]);
  EXPECT_TRUE(Lost()[0].no_room);
  EXPECT_TRUE(holder_->Holds(ids[0]));
  EXPECT_FALSE(holder_->Holds(ids[1]));
  EXPECT_TRUE(holder_->Holds(ids[2]));
}

TEST_P(HolderOfALedger, IsToldWhereALifeDoesNotLearn) {
  const std::string id = Hold(7, std::chrono::milliseconds(600));
  NextLife("e2", Blocks(100), Learning::kNever);
  ASSERT_TRUE(Eventually([&] { return !Lost().empty(); }));
  EXPECT_EQ(Lost()[0].id, id);
  EXPECT_TRUE(Lost()[0].stale_epoch);
  EXPECT_EQ(Describe(Lost()[0]), "STALE_EPOCH: e1-1 is of another server life");
  EXPECT_FALSE(holder_->Holds(id));
  EXPECT_TRUE(absl::IsFailedPrecondition(Extend(id, 16).status()));
  EXPECT_TRUE(server_->AllFree());
}

// A grant of a new life says that the others are to be claimed, long before they are due.
using RenewingHolder = HolderOfALedger;
TEST_P(RenewingHolder, AGrantOfANewLifeMakesItClaim) {
  const std::string id = Hold(7);
  NextLife("e2", Blocks(100), Learning::kWhenTold);
  absl::StatusOr<Answer> answer = absl::UnknownError("");
  ASSERT_TRUE(Eventually([&] {
    answer = holder_->Reserve(RequestOf(16, 0));
    return answer.ok();
  }));
  EXPECT_EQ(Granted(answer).epoch, "e2");
  EXPECT_TRUE(Eventually([&] { return server_->Now().reservations == 2; }));
  EXPECT_TRUE(holder_->Holds(id));
}

INSTANTIATE_TEST_SUITE_P(Session, HolderOfALedger, testing::Bool());
INSTANTIATE_TEST_SUITE_P(None, RenewingHolder, testing::Values(false));

// What a stream's end does, at once, to what is held for an hour by a holder that renews.
TEST(ReservationHolder, OverASessionItsEndIsNoticedAtOnce) {
  TestServer server;
  server.Start();
  auto holder = std::move(ReservationHolder::Create(
                              {.client = {.server = server.address()}, .session = true}))
                    .value();
  ReservationRequest request = RequestOf(100, 0);
  request.ttl = std::chrono::hours(1);
  Granted(holder->Reserve(request));
  std::promise<std::string> told;
  holder->ReserveAsync(
      RequestOf(16, 0), Duration::zero(),
      [&](const absl::StatusOr<Answer>& answer) { told.set_value(Granted(answer).id); });
  EXPECT_TRUE(holder->Holds(told.get_future().get()));
  server.clock.Advance(std::chrono::hours(2));
  EXPECT_EQ(server.Now().reservations, 2);
  holder.reset();
  EXPECT_TRUE(Eventually([&] {
    server.clock.Advance(std::chrono::seconds(30));  // the session's ttl, by default
    return server.AllFree();
  }));
}

TEST(ClientHoldings, EveryIdThatItEverHadMeansIt) {
  ClientHoldings held;
  Reservation first{};
  first.id = "e1-1";
  first.prompt_tokens = Tokens(16);
  first.max_new_tokens = Tokens(1);
  ReservationRequest request = RequestOf(16, 1);
  request.request_id = "r";
  EXPECT_EQ(held.Add(first, request), "e1-1");
  held.Claimed("e1-1", "e2-5");
  held.Claimed("e2-5", "e3-9");
  held.Extended("e2-5", Tokens(7));
  for (const char* id : {"e1-1", "e2-5", "e3-9"}) {
    EXPECT_TRUE(held.Has(id)) << id;
    EXPECT_EQ(held.GrantedAs(id), "e1-1");
    EXPECT_EQ(held.IdNow(id), "e3-9");
    EXPECT_EQ(held.Claim(id).max_new_tokens, Tokens(7));
    EXPECT_EQ(held.Claim(id).request_id, "r");
  }
  Reservation again = first;
  again.id = "e3-9";
  EXPECT_EQ(held.Add(again, request), "e1-1") << "the same request has the same name";
  held.Claimed("e9-9", "e3-1");
  EXPECT_FALSE(held.Has("e3-1"));
  held.Forget("e2-5");
  for (const char* id : {"e1-1", "e2-5", "e3-9"}) {
    EXPECT_FALSE(held.Has(id)) << id;
    EXPECT_EQ(held.IdNow(id), id);
  }
}

TEST(RetryPauses, AreLongerEachTimeAndDifferBySeedAlone) {
  using std::chrono::milliseconds;
  RetryPauses one(7), same(7), other(8);
  bool differs = false;
  for (const int64_t longest : {50, 100, 200, 400, 800, 1000, 1000}) {
    const Duration pause = one.Next();
    EXPECT_EQ(pause, same.Next());
    differs = differs || pause != other.Next();
    EXPECT_GE(pause, milliseconds(longest) / 2);
    EXPECT_LE(pause, milliseconds(longest));
  }
  EXPECT_TRUE(differs);
}

// A thousand clients that were told the same: in each of ten parts of the time in which they may
// come there are a hundred, give or take five standard deviations.
TEST(RetryPauses, SpreadThoseWhoWereToldTheSame) {
  const Duration told = std::chrono::seconds(4);
  std::array<int, 10> came = {};
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    const Duration late = RetryPauses(seed).NotBefore(told) - told;
    ASSERT_GE(late, Duration::zero());
    ASSERT_LE(late, told / 4);
    ++came[std::min<size_t>(9, static_cast<size_t>(late / (told / 40)))];
  }
  for (const int count : came) EXPECT_NEAR(count, 100, 48);
}

TEST(RetryWaits, AsksAgainWhenTheServerSaidAndNotBefore) {
  TestServer server({.blocks = Blocks(10)});
  server.Start();
  const auto patient = std::move(Client::Create({.server = server.address(),
                                                 .retry_for = std::chrono::seconds(60),
                                                 .retry_waits = true,
                                                 .retry_seed = 1}))
                           .value();
  ReservationRequest all = RequestOf(160, 0);
  all.ttl = std::chrono::milliseconds(300);
  const std::string id = Granted(server.Connect()->Reserve(all)).id;
  const Refusal told = Refused(server.Connect()->Reserve(all));
  ASSERT_GT(told.retry_after, std::chrono::milliseconds(100));
  std::thread later([&] {
    EXPECT_TRUE(Eventually([&] { return server.Now().refused_wait == 2; }));
    EXPECT_TRUE(server.Connect()->Release(id).ok());
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Granted(patient->Reserve(all)).blocks, Blocks(10));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(100));
  later.join();
  EXPECT_EQ(server.Now().refused_wait, 2);
  const Refusal never = Refused(patient->Reserve(RequestOf(161, 0)));
  EXPECT_EQ(never.decision, Decision::kNever) << "and that is not asked again";
}

// By hand: 100 tokens are 7 blocks of 16, 113 are 8.
TEST(SafeCapacity, CountsRequestsAndBlocks) {
  SafeCapacity safe({.requests = 2, .blocks = Blocks(8)});
  const Instant now{};
  const auto first = safe.Reserve(RequestOf(90, 10), now);
  ASSERT_TRUE(first.has_value());
  EXPECT_TRUE(SafeCapacity::Gave(first->id));
  EXPECT_FALSE(SafeCapacity::Gave("0123456789abcdef-1"));
  EXPECT_FALSE(safe.Reserve(RequestOf(17, 0), now).has_value());
  ASSERT_TRUE(safe.Reserve(RequestOf(16, 0), now).has_value());
  EXPECT_EQ(safe.Limits(), "2 of 2 requests and 8 of 8 blocks are in use");
  EXPECT_FALSE(safe.Extend(first->id, Tokens(113), now).has_value());
  EXPECT_EQ(safe.Extend(first->id, Tokens(112), now)->blocks, Blocks(7));
  safe.Release(first->id);
  safe.Release(first->id);
  EXPECT_EQ(safe.used(), Blocks(1));
  EXPECT_FALSE(safe.Extend(first->id, Tokens(1), now).has_value());
}

}  // namespace
}  // namespace plimsoll
