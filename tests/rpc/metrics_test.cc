// What /metrics says, by hand; that it is what Prometheus reads is tested with Prometheus' own
// program (tests/tools/prometheus_test.cc).
#include <gmock/gmock.h>

#include "tests/rpc/web_fixture.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;
using testing::Not;

using MetricsTest = WebTest;

TEST_F(MetricsTest, BlocksAndReservationsAreThoseOfTheSnapshot) {
  const auto client = server_.Connect();
  Granted(client->Reserve(Blocks(25)));
  EXPECT_EQ(Metric(R"(plimsoll_blocks{pool="default",state="reserved"})"), "25");
  EXPECT_EQ(Metric(R"(plimsoll_blocks{pool="default",state="free"})"), "75");
  EXPECT_EQ(Metric(R"(plimsoll_blocks{pool="default",state="live"})"), "0");
  EXPECT_EQ(Metric(R"(plimsoll_usage_ratio{pool="default"})"), "0.25");
  EXPECT_EQ(Metric(R"(plimsoll_reserved_unused_tokens{pool="default"})"), "400");
  EXPECT_EQ(Metric(R"(plimsoll_reservations{pool="default"})"), "1");
  EXPECT_EQ(Metric(R"(plimsoll_block_size_bytes{pool="default"})"), "1000");
  EXPECT_EQ(Metric(R"(plimsoll_epoch{pool="default",epoch="e1"})"), "1");
}

TEST_F(MetricsTest, DecisionsAreCountedByOutcomeAndReason) {
  const auto client = server_.Connect();
  Granted(client->Reserve(Blocks(100)));
  Refused(client->Reserve(Blocks(101)));
  Refused(client->Reserve(Blocks(1)));
  Refused(client->Reserve(Blocks(2)));
  const std::string decisions = R"(plimsoll_decisions_total{pool="default",outcome=)";
  EXPECT_EQ(Metric(decisions + R"("admitted",reason="NONE"})"), "1");
  EXPECT_EQ(Metric(decisions + R"("wait",reason="NO_FREE_BLOCKS"})"), "2");
  EXPECT_EQ(Metric(decisions + R"("never",reason="NEVER_FITS"})"), "1");
  EXPECT_EQ(Metric(decisions + R"("wait",reason="LEARNING"})"), "0");
  EXPECT_EQ(Metric(R"(plimsoll_decision_seconds_count{pool="default"})"), "4");
  EXPECT_EQ(Metric(R"(plimsoll_decision_seconds_bucket{pool="default",le="+Inf"})"), "4");
}

TEST_F(MetricsTest, WaitsAreTimedByTheServersClock) {
  const auto client = server_.Connect();
  const std::string held = Granted(client->Reserve(Blocks(100))).id;
  std::thread waits([&] { Granted(server_.Connect()->Reserve(Blocks(1), std::chrono::hours(1))); });
  ASSERT_TRUE(Eventually([&] { return server_.Now().waiting == 1; }));
  server_.clock.Advance(std::chrono::seconds(3));
  EXPECT_EQ(Metric(R"(plimsoll_oldest_wait_seconds{pool="default"})"), "3");
  ASSERT_TRUE(client->Release(held).ok());
  waits.join();
  EXPECT_EQ(Metric(R"(plimsoll_queue_wait_seconds_sum{pool="default"})"), "3");
  EXPECT_EQ(Metric(R"(plimsoll_queue_wait_seconds_count{pool="default"})"), "1");
  EXPECT_EQ(Metric(R"(plimsoll_queued_admissions_total{pool="default"})"), "1");
}

TEST_F(MetricsTest, LeasesThatEndAreCountedByTheirCause) {
  Granted(server_.Connect()->Reserve(Blocks(1)));  // which confirms by itself
  server_.admission().With(
      [&](AdmissionController& admission) { EXPECT_TRUE(admission.Reserve(Blocks(2)).ok()); });
  server_.clock.Advance(std::chrono::seconds(31));
  ASSERT_TRUE(Eventually([&] { return server_.AllFree(); }));
  const std::string expired = R"(plimsoll_lease_expired_total{pool="default",cause=)";
  EXPECT_EQ(Metric(expired + R"("unconfirmed"})"), "1");
  EXPECT_EQ(Metric(expired + R"("silent"})"), "1");
}

// One series each, whatever the load.
TEST_F(MetricsTest, EndpointPickersFindTheFiveSeriesThatTheyRead) {
  const auto client = server_.Connect();
  Granted(client->Reserve(Blocks(25)));
  Granted(client->Reserve(Blocks(25)));
  const std::string who = R"(model_name="default",engine="0")";
  EXPECT_EQ(Metric("vllm:num_requests_running{" + who + "}"), "2");
  EXPECT_EQ(Metric("vllm:num_requests_waiting{" + who + "}"), "0");
  EXPECT_EQ(Metric("vllm:kv_cache_usage_perc{" + who + "}"), "0.5");
  EXPECT_EQ(Metric("vllm:cache_config_info{" + who + R"(,block_size="16",num_gpu_blocks="100"})"),
            "1");
  EXPECT_EQ(Metric("vllm:lora_requests_info{" + who +
                   R"(,max_lora="0",running_lora_adapters="",waiting_lora_adapters=""})"),
            "0");
}

TEST_F(MetricsTest, NamesOfTenantsAndRequestsAreNoLabels) {
  ReservationRequest request = Blocks(1);
  request.tenant = "secret-tenant";
  request.request_id = "secret-request";
  Granted(server_.Connect()->Reserve(request));
  EXPECT_THAT(Get("/metrics")->body, Not(HasSubstr("secret")));
}

TEST_F(MetricsTest, ReadyFollowsTheHealth) {
  EXPECT_EQ(Metric(R"(plimsoll_ready{pool="default"})"), "1");
  server_.server->StartDraining();
  EXPECT_EQ(Metric(R"(plimsoll_ready{pool="default"})"), "0");
  EXPECT_EQ(Metric(R"(plimsoll_draining{pool="default"})"), "1");
}

}  // namespace
}  // namespace plimsoll
