// A server with its HTTP port, and a client of that.
//
// Threads: the test's. Errors: fail the test.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <sstream>
#include <string>

#include "rpc/http_endpoint.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {

// A connection to host:port that says nothing by itself.
inline int ConnectTo(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  const size_t colon = address.rfind(':');
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  return fd;
}

class WebTest : public testing::Test {
 protected:
  WebTest() {
    server_.Start();
    StartHttp({.address = "127.0.0.1:0"});
  }
  ~WebTest() override { http_.reset(); }

  void StartHttp(const HttpOptions& options) {
    http_ = std::move(HttpEndpoint::Start(options, server_.server->served())).value();
    browser_ = std::make_unique<httplib::Client>("http://" + http_->address());
  }

  httplib::Result Get(const std::string& path) { return browser_->Get(path); }
  // What /metrics says of a series, written as there; "" where it is not there.
  std::string Metric(const std::string& series) {
    std::istringstream lines(Get("/metrics")->body);
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind(series + " ", 0) == 0) return line.substr(series.size() + 1);
    }
    return "";
  }
  ReservationRequest Blocks(int64_t n) { return RequestOf(16 * n, 0); }

  TestServer server_;
  std::unique_ptr<HttpEndpoint> http_;
  std::unique_ptr<httplib::Client> browser_;
};

}  // namespace plimsoll
