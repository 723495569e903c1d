// Health that knows progress: what holds a server up is said, over HTTP and over gRPC.
#include "rpc/health.h"

#include <gmock/gmock.h>

#include "tests/rpc/raw_call.h"
#include "tests/rpc/web_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kHealth[] = "/grpc.health.v1.Health/Check";

using HealthTest = WebTest;

TEST_F(HealthTest, AWaitThatIsTooLongIsSaidOverHttpAndGrpcAndItsEndToo) {
  const auto client = server_.Connect();
  const Reservation held = Granted(client->Reserve(
      {.prompt_tokens = Tokens(1600), .max_new_tokens = Tokens(0), .ttl = std::chrono::hours(1)}));
  ASSERT_TRUE(client->Renew({held.id}).ok());
  std::thread waits([&] { Granted(server_.Connect()->Reserve(Blocks(1), std::chrono::hours(1))); });
  ASSERT_TRUE(Eventually([&] { return server_.Now().waiting == 1; }));
  server_.clock.Advance(seconds(119));
  EXPECT_TRUE(Eventually([&] { return Get("/readyz")->status == 200; }));
  server_.clock.Advance(seconds(2));
  EXPECT_EQ(Get("/readyz")->status, 503);
  EXPECT_EQ(Get("/readyz")->body, "a request has waited 121.0 s for room, more than 120.0 s\n");
  const auto channel = ChannelTo(server_.address());
  EXPECT_TRUE(Eventually([&] { return RawCall(channel, kHealth, "").bytes == "\x08\x02"; }));
  ASSERT_TRUE(client->Release(held.id).ok());
  waits.join();
  EXPECT_EQ(Get("/readyz")->status, 200);
  EXPECT_TRUE(Eventually([&] { return RawCall(channel, kHealth, "").bytes == "\x08\x01"; }));
}

// Without a housekeeper: nobody ticks, and nobody ends leases.
class StuckTest : public testing::Test {
 protected:
  TestServer parts_;
  HealthMonitor monitor_{
      parts_.admission(), parts_.clock, nullptr, {.housekeeper_late = milliseconds(50)}};
};

TEST_F(StuckTest, AHousekeeperThatDoesNotTickIsNoticed) {
  EXPECT_THAT(monitor_.Check().problems, IsEmpty());
  EXPECT_TRUE(Eventually([&] { return !monitor_.Check().ready; }));
  EXPECT_THAT(monitor_.Check().problems, ElementsAre(StartsWith("the housekeeper is 0.")));
  monitor_.Tick(parts_.admission().published().Read());
  EXPECT_TRUE(monitor_.Check().ready);
}

TEST_F(StuckTest, ALeaseThatIsOverAndDoesNotEndIsNoticed) {
  parts_.admission().With([](AdmissionController& admission) {
    EXPECT_TRUE(admission.Reserve(RequestOf(16, 0)).ok());
  });
  parts_.clock.Advance(seconds(14));  // unconfirmed, it lives for five
  monitor_.Tick(parts_.admission().published().Read());
  EXPECT_TRUE(monitor_.Check().ready);
  parts_.clock.Advance(seconds(2));
  monitor_.Tick(parts_.admission().published().Read());
  EXPECT_THAT(monitor_.Check().problems, ElementsAre("what was due 11.0 s ago has not ended"));
}

TEST_F(StuckTest, WhoAskedIsToldOnceASecondAndNotAfterTheEnd) {
  std::vector<bool> told;
  monitor_.Tell([&](bool ready) { told.push_back(ready); });
  const AdmissionSnapshot now = parts_.admission().published().Read();
  monitor_.Tick(now);
  monitor_.Tick(now);
  EXPECT_THAT(told, ElementsAre(true));
  HealthMonitor other(parts_.admission(), parts_.clock, nullptr);
  other.Tell([&](bool ready) { told.push_back(ready); });
  other.Tell(nullptr);
  other.Tick(now);
  EXPECT_EQ(told.size(), 1);
}

TEST_F(StuckTest, DrainingWhileItAsksIsTheLastThatIsTold) {
  std::vector<bool> told;
  monitor_.Tell([&](bool ready) {
    if (told.empty()) {
      parts_.admission().With([](AdmissionController& admission) { admission.SetDraining(true); });
    }
    told.push_back(ready);
  });
  monitor_.Tick(parts_.admission().published().Read());
  EXPECT_THAT(told, ElementsAre(true, false));
}

}  // namespace
}  // namespace plimsoll
