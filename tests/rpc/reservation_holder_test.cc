// A client that keeps what it was granted, against a real server whose leases run on the test's
// time.
#include <future>
#include <string>
#include <variant>

#include "gtest/gtest.h"
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
