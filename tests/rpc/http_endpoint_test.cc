// The HTTP port: probes, the capacity, and what it does not answer.
#include <nlohmann/json.hpp>

#include "tests/rpc/web_fixture.h"

namespace plimsoll {
namespace {

using HttpEndpointTest = WebTest;

TEST_F(HttpEndpointTest, ShowsTheCapacity) {
  Granted(server_.Connect()->Reserve(RequestOf(100, 60)));
  const auto capacity = Get("/api/v1/capacity");
  ASSERT_TRUE(capacity);
  EXPECT_EQ(capacity->get_header_value("Content-Type"), "application/json");
  const auto json = nlohmann::json::parse(capacity->body);
  EXPECT_EQ(json.at("total_blocks"), 100);
  EXPECT_EQ(json.at("reserved_blocks"), 10);
  EXPECT_EQ(json.at("epoch"), "e1");
  EXPECT_EQ(Get("/nothing")->status, 404);
}

TEST_F(HttpEndpointTest, LivesWhileItDrainsButIsNotReady) {
  EXPECT_EQ(Get("/healthz")->status, 200);
  EXPECT_EQ(Get("/readyz")->status, 200);
  EXPECT_EQ(Get("/readyz")->body, "ready\n");
  server_.server->StartDraining();
  EXPECT_EQ(Get("/healthz")->status, 200);
  EXPECT_EQ(Get("/readyz")->status, 503);
  EXPECT_EQ(Get("/readyz")->body, "draining\n");
}

TEST_F(HttpEndpointTest, APortInUseIsAnErrorThatNamesIt) {
  const absl::Status status =
      HttpEndpoint::Start({.address = http_->address()}, server_.server->served()).status();
  EXPECT_EQ(status.message(), "cannot listen on " + http_->address() + ": Address already in use");
  EXPECT_TRUE(absl::IsInvalidArgument(
      HttpEndpoint::Start({.address = "8471"}, server_.server->served()).status()));
}

}  // namespace
}  // namespace plimsoll
