// The HTTP port under hostile input: every answer is 4xx, and it goes on answering others.
#include <sys/resource.h>

#include <fstream>

#include "rpc/http_server.h"
#include "tests/rpc/web_fixture.h"

namespace plimsoll {
namespace {

class HttpHostile : public WebTest {
 protected:
  // The status line of what is answered to these bytes; "" where the connection just ends.
  std::string Answer(const std::string& bytes) const {
    const int fd = ConnectTo(http_->address());
    send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    std::string said;
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
      said.append(buffer, static_cast<size_t>(n));
    }
    close(fd);
    return said.substr(0, said.find('\r'));
  }
  static std::string Ask(const std::string& path, const std::string& host = "127.0.0.1") {
    return "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
  }
};

TEST_F(HttpHostile, AHostOfAnotherSiteIsRefused) {
  for (const char* ours : {"127.0.0.1", "127.0.0.1:8471", "localhost", "LocalHost:80", "[::1]:80",
                           "10.0.0.7:8471", "::1"}) {
    EXPECT_NE(IsOurHost(ours, {}), std::string(ours) == "::1") << ours;
  }
  for (const char* other : {"evil.example", "evil.example:8471", "localhost.evil.example",
                            "127.0.0.1.evil.example", "[", "[]", ":80", "evil.example\t"}) {
    EXPECT_FALSE(IsOurHost(other, {})) << other;
  }
  EXPECT_TRUE(IsOurHost("Plimsoll.Example:80", {"plimsoll.example"}));
  for (const char* path : {"/metrics", "/api/v1/capacity", "/healthz", "/nothing"}) {
    EXPECT_EQ(Answer(Ask(path)).find("403"), std::string::npos) << path;
    EXPECT_EQ(Answer(Ask(path, "evil.example")), "HTTP/1.1 403 Forbidden") << path;
  }
}

TEST_F(HttpHostile, ANameIsTheSameInAnyCase) {
  http_.reset();
  StartHttp({.address = "127.0.0.1:0", .names = {"Plimsoll.Example"}});
  EXPECT_EQ(Answer(Ask("/healthz", "plimsoll.example")), "HTTP/1.1 200 OK");
  EXPECT_EQ(Answer(Ask("/healthz", "Plimsoll.Example:80")), "HTTP/1.1 200 OK");
}

TEST_F(HttpHostile, OtherMethodsAreNotAllowed) {
  EXPECT_EQ(browser_->Post("/metrics", "", "text/plain")->status, 405);
  EXPECT_EQ(browser_->Delete("/api/v1/capacity")->status, 405);
  EXPECT_EQ(browser_->Options("/")->get_header_value("Allow"), "GET, HEAD");
  EXPECT_EQ(browser_->Head("/healthz")->status, 200);
  EXPECT_EQ(Answer("BREW /pot HTTP/1.1\r\nHost: localhost\r\n\r\n"), "HTTP/1.1 400 Bad Request");
}

TEST_F(HttpHostile, PathsThatLeaveTheTreeAreNotFound) {
  for (const char* path : {"/../../etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd", "/.git",
                           "/%00", "/metrics/", "/metrics%00"}) {
    EXPECT_EQ(Answer(Ask(path)), "HTTP/1.1 404 Not Found") << path;
  }
}

TEST_F(HttpHostile, WhatIsTooLongOrNoHttpIsRefused) {
  EXPECT_EQ(Answer(Ask("/" + std::string(20000, 'x'))), "HTTP/1.1 414 URI Too Long");
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02"), std::string("GET / HTTP/9.9\r\n\r\n"),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), std::string(70000, 'a'),
        Ask("/healthz").insert(23, "x: " + std::string(9000, 'y') + "\r\n")}) {
    const std::string answer = Answer(bytes);
    EXPECT_TRUE(answer.empty() || answer.rfind("HTTP/1.1 4", 0) == 0) << answer;
  }
  EXPECT_EQ(Get("/healthz")->status, 200);
}

// Bytes of memory of this process, server included.
int64_t Resident() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

constexpr char kTurnedAway[] =
    R"(plimsoll_http_turned_away_total{pool="default",what="connection"})";

// 64 threads wait for what these say and 256 wait for a thread; all others are told at once.
TEST_F(HttpHostile, ACrowdThatSaysNothingIsTurnedAway) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  StartHttp({.address = "127.0.0.1:0", .to_ask = std::chrono::seconds(60)});
  constexpr int kCrowd = 3000;
  ASSERT_GT(limit.rlim_cur, 2 * kCrowd + 500);
  EXPECT_EQ(Metric(kTurnedAway), "0");
  const int64_t before = Resident();
  std::vector<int> crowd;
  for (int i = 0; i < kCrowd; ++i) crowd.push_back(ConnectTo(http_->address()));
  const auto told = [&] {
    int64_t n = 0;
    char said[64];
    for (const int fd : crowd) {
      const ssize_t size = recv(fd, said, sizeof(said), MSG_PEEK | MSG_DONTWAIT);
      if (size > 0) n += std::string_view(said, static_cast<size_t>(size)).find("503") == 9;
    }
    return n;
  };
  EXPECT_TRUE(Eventually([&] { return told() == kCrowd - 64 - HttpServer::kLongestLine; }))
      << told();
  EXPECT_LT(Resident() - before, 64 << 20);
  for (const int fd : crowd) close(fd);
  const auto answers = [&] {
    const auto answer = Get("/healthz");
    return answer && answer->status == 200;
  };
  EXPECT_TRUE(Eventually(answers)) << "once they are gone, others are heard";
  EXPECT_GE(std::stoll(Metric(kTurnedAway)), kCrowd - 64 - HttpServer::kLongestLine);
}

// More than there are threads: each is cut off by its deadline, and the next ones are served.
TEST_F(HttpHostile, SilentAndSlowCallersAreCutOff) {
  StartHttp({.address = "127.0.0.1:0", .to_ask = std::chrono::milliseconds(200)});
  std::vector<int> silent;
  for (int i = 0; i < 80; ++i) silent.push_back(ConnectTo(http_->address()));
  send(silent.front(), "GET", 3, MSG_NOSIGNAL);
  const auto answer = Get("/healthz");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  char byte = 0;
  for (const int fd : silent) {
    EXPECT_LE(recv(fd, &byte, 1, 0), 0);
    close(fd);
  }
}

}  // namespace
}  // namespace plimsoll
