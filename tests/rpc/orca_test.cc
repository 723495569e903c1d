// Load reports as a balancer asks for them, over a real socket.
#include "rpc/orca_endpoint.h"

#include <gtest/gtest.h>

#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using xds::data::orca::v3::OrcaLoadReport;
using xds::service::orca::v3::OpenRcaService;
using xds::service::orca::v3::OrcaLoadReportRequest;

class OrcaTest : public testing::Test {
 protected:
  OrcaTest() {
    server_.Start();
    stub_ = OpenRcaService::NewStub(ChannelTo(server_.address()));
  }
  ~OrcaTest() override { context_.TryCancel(); }

  std::unique_ptr<grpc::ClientReader<OrcaLoadReport>> Watch(int64_t nanoseconds) {
    OrcaLoadReportRequest request;
    request.mutable_report_interval()->set_nanos(static_cast<int32_t>(nanoseconds));
    return stub_->StreamCoreMetrics(&context_, request);
  }

  TestServer server_;
  std::unique_ptr<OpenRcaService::Stub> stub_;
  grpc::ClientContext context_;
};

TEST_F(OrcaTest, ReportsAreOfThePoolAndGoOn) {
  Granted(server_.Connect()->Reserve(RequestOf(16 * 25, 0)));
  const auto reports = Watch(100'000'000);
  OrcaLoadReport report;
  ASSERT_TRUE(reports->Read(&report));
  EXPECT_EQ(report.mem_utilization(), 0.25);
  EXPECT_EQ(report.application_utilization(), 0.25);
  EXPECT_EQ(report.utilization().at("kv_cache"), 0.25);
  EXPECT_EQ(report.named_metrics().at("kv_cache_utilization"), 0.25);
  EXPECT_EQ(report.named_metrics().at("max_token_capacity"), 1600);
  EXPECT_EQ(report.named_metrics().at("num_requests_running"), 1);
  EXPECT_EQ(report.named_metrics().at("num_requests_waiting"), 0);
  Granted(server_.Connect()->Reserve(RequestOf(16 * 25, 0)));
  ASSERT_TRUE(reports->Read(&report)) << "reports go on without a change, too";
  while (report.mem_utilization() != 0.5) ASSERT_TRUE(reports->Read(&report));
}

TEST_F(OrcaTest, AnIntervalThatIsNoneIsRefused) {
  const auto reports = Watch(-1);
  OrcaLoadReport report;
  EXPECT_FALSE(reports->Read(&report));
  const grpc::Status status = reports->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_NE(status.error_message().find("report_interval"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll
