// The live replay against a server of this process: who is counted as what, leases, leaks.
#include "tools/replay/live_replay.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::Pair;

// `n` requests at once, each of `tokens` tokens, held for `hold`.
Workload Burst(int n, int64_t tokens, Duration hold) {
  return {
      .requests = std::vector<ReplayRequest>(static_cast<size_t>(n), {.arrival = Duration::zero(),
                                                                      .prompt = Tokens(tokens),
                                                                      .output = Tokens(0),
                                                                      .prefill = hold}),
      .decode_step = Duration::zero()};
}

TestServerOptions Pool(int64_t blocks) {
  TestServerOptions options;
  options.blocks = Blocks(blocks);
  options.unix_socket = true;
  return options;
}

class LiveReplay : public testing::Test {
 protected:
  explicit LiveReplay(int64_t blocks = 100) : server(Pool(blocks)) {
    server.Start();
    client = server.Connect();
  }
  ReplayReport Replayed(const Workload& workload, const LiveReplayOptions& options = {}) {
    auto report = ReplayAgainst(*client, workload, options);
    PLIMSOLL_CHECK(report.ok(), report.status().message());
    EXPECT_EQ(report->requests, report->admitted + report->refused + report->lost);
    EXPECT_TRUE(report->server->conserved);
    return *report;
  }

  TestServer server;
  std::unique_ptr<Client> client;
};

TEST_F(LiveReplay, AdmitsHoldsAndReleasesEveryRequestThatFits) {
  Workload workload = Burst(50, 20, milliseconds(5));
  for (size_t i = 0; i < workload.requests.size(); ++i) {
    workload.requests[i].arrival = milliseconds(i);
  }
  const ReplayReport report = Replayed(workload);
  EXPECT_EQ(report.admitted, 50);
  EXPECT_EQ(report.waited, 0);
  EXPECT_EQ(report.failed, 0);
  EXPECT_EQ(report.prompt_tokens, Tokens(1000));
  EXPECT_EQ(report.prompt_blocks, Blocks(100));
  EXPECT_GE(report.peak_sequences, 1);
  EXPECT_GT(report.server->admission.p50, Duration::zero());
  EXPECT_GE(report.server->admission.max, report.server->admission.p99);
  EXPECT_EQ(report.server->leaked, Blocks(0));
  EXPECT_EQ(report.total_blocks, Blocks(100));
  EXPECT_TRUE(server.AllFree());
}

// One holds the whole pool, so the other nine, sent in the same moment, take turns.
TEST_F(LiveReplay, CountsThoseAdmittedAfterQueueingAsWaited) {
  const ReplayReport report = Replayed(Burst(10, 1600, milliseconds(100)));
  EXPECT_EQ(report.admitted, 10);
  EXPECT_EQ(report.waited, 9);
  EXPECT_EQ(report.peak_sequences, 1);
  EXPECT_EQ(report.peak_blocks, Blocks(100));
  EXPECT_GE(report.server->admission.max, milliseconds(900)) << "queueing counts";
  EXPECT_TRUE(server.AllFree());
}

TEST_F(LiveReplay, CountsRefusalsByReason) {
  Workload workload = Burst(3, 1600, milliseconds(600));
  workload.requests.push_back({Duration::zero(), Tokens(1601), Tokens(0), Duration::zero()});
  LiveReplayOptions options{.max_wait = milliseconds(1)};
  options.on_progress = [&](const ReplayProgress&) { server.clock.Advance(milliseconds(2)); };
  const ReplayReport impatient = Replayed(workload, options);
  EXPECT_EQ(impatient.admitted, 1);
  EXPECT_THAT(impatient.refusals, ElementsAre(Pair("NEVER_FITS", 1), Pair("WAIT_TIMEOUT", 2)));
  const ReplayReport unwilling = Replayed(workload, {.max_wait = Duration::zero()});
  EXPECT_EQ(unwilling.admitted, 1);
  EXPECT_THAT(unwilling.refusals, ElementsAre(Pair("NEVER_FITS", 1), Pair("NO_FREE_BLOCKS", 2)));
  EXPECT_TRUE(server.AllFree());
}

// Between two calls of on_progress a renewal comes at least once, since they are 200 ms apart and
// a third of the lease is 100 ms. The server's clock moves by less than the lease in between, and
// by more than the lease in all.
TEST_F(LiveReplay, RenewsWhatItHolds) {
  LiveReplayOptions options{.ttl = milliseconds(300)};
  Duration moved = Duration::zero();
  options.on_progress = [&](const ReplayProgress&) {
    server.clock.Advance(milliseconds(100));
    moved += milliseconds(100);
  };
  const ReplayReport report = Replayed(Burst(5, 20, milliseconds(1500)), options);
  EXPECT_GT(moved, options.ttl);
  EXPECT_EQ(report.admitted, 5);
  EXPECT_EQ(report.failed, 0);
  EXPECT_EQ(server.Now().expired, 0);
}

TEST_F(LiveReplay, ReportsLeasesThatWereLost) {
  LiveReplayOptions options{.ttl = milliseconds(300)};
  options.on_progress = [&](const ReplayProgress&) { server.clock.Advance(hours(2)); };
  const ReplayReport report = Replayed(Burst(5, 20, milliseconds(1500)), options);
  EXPECT_EQ(report.admitted, 5);
  EXPECT_EQ(report.failed, 5);
  EXPECT_FALSE(report.errors.empty());
  EXPECT_EQ(report.server->leaked, Blocks(0));
}

TEST_F(LiveReplay, WhatOthersHeldBeforeIsNoLeakAndWhatTheyTakeMeanwhileIs) {
  Granted(client->Reserve(RequestOf(16, 0)));
  EXPECT_EQ(Replayed(Burst(1, 20, milliseconds(1))).server->leaked, Blocks(0));
  LiveReplayOptions options{.time_to_settle = milliseconds(1)};
  bool taken = false;
  options.on_progress = [&](const ReplayProgress&) {
    if (!std::exchange(taken, true)) Granted(client->Reserve(RequestOf(48, 0)));
  };
  EXPECT_EQ(Replayed(Burst(1, 20, milliseconds(1)), options).server->leaked, Blocks(3));
}

TEST_F(LiveReplay, WithoutAServerItIsUnavailable) {
  server.server->Stop();
  EXPECT_TRUE(absl::IsUnavailable(ReplayAgainst(*client, Burst(1, 1, {}), {}).status()));
}

TEST_F(LiveReplay, AServerThatGoesAwayEndsTheReplay) {
  LiveReplayOptions options;
  options.on_progress = [&](const ReplayProgress& progress) {
    if (progress.running > 0) server.server->Stop();
  };
  const auto report = ReplayAgainst(*client, Burst(20, 500, milliseconds(500)), options);
  EXPECT_TRUE(absl::IsUnavailable(report.status())) << report.status();
}

TEST_F(LiveReplay, ALedgerServerGeneratesNothingAndThatIsCounted) {
  const ReplayReport report =
      Replayed(Burst(3, 20, milliseconds(1)), {.work = ReplayWork::kGenerate});
  EXPECT_EQ(report.admitted, 3);
  EXPECT_EQ(report.failed, 3);
  EXPECT_EQ(report.server->generation->generated_tokens, 0);
  EXPECT_EQ(report.server->leaked, Blocks(0));
  EXPECT_TRUE(server.AllFree());
}

}  // namespace
}  // namespace plimsoll
