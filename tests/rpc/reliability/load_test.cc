// What one caller, or very many, or a full disk, may cost a server process: rows 10, 11, 21 and 26.
#include <gtest/gtest.h>
#include <httplib.h>

#include <deque>
#include <mutex>
#include <optional>
#include <sstream>

#include "tests/rpc/raw_call.h"
#include "tests/rpc/raw_peer.h"
#include "tests/rpc/reliability/raw_http2.h"
#include "tests/rpc/reliability/served_process.h"
#include "tests/rpc/test_session.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

constexpr int64_t kMebibyte = int64_t{1} << 20;
constexpr char kReserve[] = "/plimsoll.v1.AdmissionService/ReserveCapacity";

// Asks for all ten blocks of a pool.
ReservationRequest AllOf(const std::string& tenant) {
  return {.tenant = tenant, .prompt_tokens = Tokens(160), .max_new_tokens = Tokens(0)};
}

// What /metrics says of a series; -1 where it is not there.
int64_t MetricOf(ServedProcess& server, const std::string& series) {
  httplib::Client browser("http://" + server.process().http());
  const httplib::Result page = browser.Get("/metrics");
  std::istringstream lines(page ? page->body : "");
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(series + " ", 0) == 0) return std::stoll(line.substr(series.size() + 1));
  }
  return -1;
}

// What was granted to calls that waited, in order; calls that were cut off got nothing.
class GrantedIds {
 public:
  Client::AnswerHandler Adder() {
    return [this](const absl::StatusOr<Answer>& answer) {
      if (!answer.ok()) return;
      const std::scoped_lock lock(mutex_);
      ids_.push_back(Granted(answer).id);
    };
  }
  bool Holds() {
    const std::scoped_lock lock(mutex_);
    return !ids_.empty();
  }
  std::optional<std::string> Take() {
    const std::scoped_lock lock(mutex_);
    if (ids_.empty()) return std::nullopt;
    std::string id = ids_.front();
    ids_.pop_front();
    return id;
  }

 private:
  std::mutex mutex_;
  std::deque<std::string> ids_;
};

// Row 10: many megabytes that arrive as some kilobytes.
TEST(Load, AMessageThatWouldInflateIsNotInflated) {
  ServedProcess server;
  const auto channel = ChannelTo(server.address());
  RawCall(channel, kReserve, "");
  const int64_t before = server.PeakBytes();
  const RawAnswer bomb =
      RawCall(channel, kReserve, std::string(16 * kMebibyte, '\0'), GRPC_COMPRESS_GZIP);
  EXPECT_EQ(bomb.status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  const RawAnswer large = RawCall(channel, kReserve, std::string(5 * kMebibyte, 'x'));
  EXPECT_EQ(large.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_LT(server.PeakBytes() - before, 12 * kMebibyte);
  EXPECT_TRUE(server.AllFree());
}

// By how much waves that are alike raised the peak, after the first three, which find memory in
// pieces: what leaks grows with every one.
int64_t LateGrowth(const std::vector<int64_t>& peaks) { return peaks.at(4) - peaks.at(2); }

// Row 11, smaller: idle connections cost some kilobytes each, and as many once more cost nothing.
TEST(Load, IdleConnectionsCostLittleAndGiveItBack) {
  constexpr int kConnections = 800;
  ServedProcess server;
  const std::unique_ptr<Client> client = server.Connect();
  ASSERT_TRUE(client->GetCapacity().ok());
  const int64_t before = server.PeakBytes();
  const int64_t few = server.Descriptors() + 4;  // of its own
  std::vector<int64_t> peaks;
  for (int wave = 0; wave < 5; ++wave) {
    std::vector<RawConnection> idle;
    for (int i = 0; i < kConnections; ++i) {
      idle.emplace_back(server.address());
      ASSERT_TRUE(idle.back().Greet());
    }
    const Reservation granted = Granted(client->Reserve(RequestOf(16, 0)));
    EXPECT_TRUE(client->Release(granted.id).ok());
    peaks.push_back(server.PeakBytes());
    idle.clear();
    EXPECT_TRUE(Eventually([&] { return server.Descriptors() <= few; })) << "wave " << wave;
  }
  EXPECT_LT(peaks[0] - before, kConnections * 40 * 1024);
  EXPECT_LT(LateGrowth(peaks), kConnections * 10 * 1024);
}

// Row 11: a thousand sessions, each holding a block, and as many again.
TEST(Load, SessionsByTheThousandCostLittleAndGiveItBack) {
  constexpr int kConnections = 20, kSessions = 50;
  ServedProcess server;
  const std::unique_ptr<Client> client = server.Connect();
  ASSERT_TRUE(client->GetCapacity().ok());
  const int64_t before = server.PeakBytes();
  const int64_t few = server.Descriptors() + 4;  // of its own
  v1::Hello hello;
  hello.mutable_ttl()->set_nanos(100'000'000);
  std::vector<int64_t> peaks;
  for (int wave = 0; wave < 5; ++wave) {
    std::vector<std::unique_ptr<TestSession>> sessions;
    for (int i = 0; i < kConnections; ++i) {
      const auto channel = ChannelTo(server.address());
      for (int j = 0; j < kSessions; ++j) {
        sessions.push_back(std::make_unique<TestSession>(channel));
        ASSERT_FALSE(sessions.back()->Greet(hello).resume_token().empty()) << i << ", " << j;
        ASSERT_TRUE(sessions.back()->Reserve(1).has_reservation()) << i << ", " << j;
      }
    }
    EXPECT_EQ(server.Now().reservations, kConnections * kSessions);
    EXPECT_EQ(Refused(client->Reserve(RequestOf(16, 0))).reason, Reason::kNoFreeBlocks);
    peaks.push_back(server.PeakBytes());
    for (const auto& session : sessions) session->Cut();
    sessions.clear();
    EXPECT_TRUE(Eventually([&] { return server.AllFree(); })) << "wave " << wave;
    EXPECT_TRUE(Eventually([&] { return server.Descriptors() <= few; })) << "wave " << wave;
  }
  EXPECT_LT(peaks[0] - before, kConnections * kSessions * 40 * 1024);
  EXPECT_LT(LateGrowth(peaks), kConnections * kSessions * 10 * 1024);
}

// Row 21: a server writes nothing but its log, and lines that do not fit cost nobody else anything.
TEST(Load, AFullDiskUnderTheLogCostsOnlyLines) {
  ServedProcess server({"--max-connections", "2", "--http", "127.0.0.1:0"},
                       {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>/dev/full"});
  const std::unique_ptr<Client> client = server.Connect();
  const Reservation granted = Granted(client->Reserve(RequestOf(16, 0)));
  std::vector<RawPeer> crowd;  // of which each that is one too many is worth a line
  for (int i = 0; i < 5; ++i) crowd.emplace_back(server.address());
  EXPECT_TRUE(crowd.back().IsCutOffWithin(seconds(10)));
  EXPECT_TRUE(client->Release(granted.id).ok());
  EXPECT_EQ(Granted(client->Reserve(RequestOf(16'000, 0))).blocks, Blocks(1000));
  const auto lost = [&](const std::string& cause) {
    return MetricOf(server,
                    "plimsoll_log_lines_lost_total{pool=\"default\",cause=\"" + cause + "\"}");
  };
  EXPECT_GE(lost("unwritten"), 4);
  const int64_t before = lost("unwritten") + lost("suppressed");
  std::vector<RawPeer> more;  // far more than have a line in a second
  for (int i = 0; i < 100; ++i) more.emplace_back(server.address());
  EXPECT_TRUE(Eventually([&] { return lost("unwritten") + lost("suppressed") == before + 100; }))
      << lost("unwritten") << " + " << lost("suppressed");
}

// Row 26: one tenant has a hundred calls in the queue for each of another, which waits for one turn
// and not for them all.
TEST(Load, ATenantThatAsksAHundredTimesAsMuchTakesTurnsLikeOthers) {
  constexpr int kAsked = 200;
  ServedProcess server({"--blocks", "10"});
  GrantedIds greedy, modest;  // outlive the calls
  const std::unique_ptr<Client> client = server.Connect();
  const Reservation first = Granted(client->Reserve(AllOf("greedy")));
  for (int i = 0; i < kAsked; ++i) {
    client->ReserveAsync(AllOf("greedy"), seconds(60), greedy.Adder());
  }
  ASSERT_TRUE(Eventually([&] { return server.Now().waiting == kAsked; }));
  std::string held = first.id;
  for (int i = 0; i < 3; ++i) {
    client->ReserveAsync(AllOf("modest"), seconds(60), modest.Adder());
    ASSERT_TRUE(Eventually([&] { return server.Now().waiting == kAsked + 1 - i; }));
    int turns = 0;
    std::optional<std::string> mine;
    while (!mine) {
      ASSERT_LE(++turns, 2) << "time " << i;
      ASSERT_TRUE(client->Release(held).ok());
      ASSERT_TRUE(Eventually([&] { return greedy.Holds() || modest.Holds(); }));
      mine = modest.Take();
      held = mine ? *mine : *greedy.Take();
    }
  }
}

}  // namespace
}  // namespace plimsoll
