// What /metrics says, by hand; that it is what Prometheus reads is tested with Prometheus' own
// program (tests/tools/prometheus_test.cc).
#include <gmock/gmock.h>

#include "tests/rpc/test_session.h"
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

TEST_F(MetricsTest, DecisionsAreCountedByClassAndOutcome) {
  const std::string decisions = R"(plimsoll_class_decisions_total{pool="default",class=)";
  EXPECT_EQ(Metric(decisions + R"("none",outcome="admitted"})"), "0");
  Granted(server_.Connect()->Reserve(Blocks(60)));
  server_.admission().With([](AdmissionController& admission) {
    const auto reserve = [&](int64_t blocks, const std::string& its_class) {
      ReservationRequest request = RequestOf(16 * blocks, 0);
      request.request_class = its_class;
      return admission.Reserve(request).ok();
    };
    EXPECT_TRUE(reserve(10, "chat") && reserve(10, "chat") && reserve(21, "chat"));
    EXPECT_TRUE(reserve(1000, "none")) << "a class that is called as those without one";
    EXPECT_FALSE(reserve(1, "unheard of"));
    std::vector<ReservationRequest> both = {RequestOf(16, 0), RequestOf(16 * 90, 0)};
    both[0].request_class = both[1].request_class = "chat";
    EXPECT_TRUE(admission.ReserveAll(both).ok());
  });
  EXPECT_EQ(Metric(decisions + R"("chat",outcome="admitted"})"), "2") << "one was taken back";
  EXPECT_EQ(Metric(decisions + R"("chat",outcome="wait"})"), "2");
  EXPECT_EQ(Metric(decisions + R"("none",outcome="admitted"})"), "1");
  EXPECT_EQ(Metric(decisions + R"("none",outcome="never"})"), "1");
  EXPECT_THAT(Get("/metrics")->body, Not(HasSubstr("unheard")));
}

TEST_F(MetricsTest, SessionsAreThoseWithAStreamAndThoseWithout) {
  const std::string sessions = R"(plimsoll_sessions{pool="default",state=)";
  const auto are = [&](const std::string& attached, const std::string& detached) {
    return Eventually([&] {
      return Metric(sessions + R"("attached"})") == attached &&
             Metric(sessions + R"("detached"})") == detached;
    });
  };
  EXPECT_TRUE(are("0", "0"));
  std::string token;
  {
    TestSession empty(server_.address());
    empty.Greet();
    TestSession session(server_.address());
    token = session.Greet().resume_token();
    session.Reserve(1);
    EXPECT_TRUE(are("2", "0"));
  }
  EXPECT_TRUE(are("0", "1")) << "the empty one is forgotten";
  v1::Hello hello;
  hello.set_resume_token(token);
  {
    TestSession again(server_.address());
    again.Greet(hello);
    EXPECT_TRUE(are("1", "0"));
    TestSession takes_over(server_.address());
    takes_over.Greet(hello);
    EXPECT_EQ(again.End().error_code(), grpc::ABORTED);
    EXPECT_TRUE(are("1", "0"));
  }
  EXPECT_TRUE(are("0", "1"));
  server_.clock.Advance(std::chrono::seconds(31));
  EXPECT_TRUE(are("0", "0"));
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
