// The report: percentiles, keys, and the table.
#include "tools/replay/replay_report.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/replay/replay_tally.h"

namespace plimsoll {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;

TEST(LatencyFigures, AreNearestRanks) {
  std::vector<Duration> samples;
  for (int i = 200; i >= 1; --i) samples.push_back(microseconds(i));
  const LatencyFigures figures = LatencyFiguresOf(samples);
  EXPECT_EQ(figures.p50, microseconds(100));
  EXPECT_EQ(figures.p99, microseconds(198));
  EXPECT_EQ(figures.max, microseconds(200));
  EXPECT_EQ(LatencyFiguresOf({microseconds(5)}).p99, microseconds(5));
  EXPECT_EQ(LatencyFiguresOf({}).max, microseconds(0));
}

TEST(ReplayReport, ASimulationHasTheAgreedKeysAndNothingOfAServer) {
  const auto object = nlohmann::json::parse(ToJson({.seed = 7, .requests = 3}));
  for (const char* key :
       {"requests", "admitted", "waited", "refused", "preempted", "peak_sequences",
        "mean_sequences", "peak_blocks", "useful_fraction", "prefix_hit_tokens", "prompt_tokens",
        "prefix_hit_blocks", "prompt_blocks", "seed"}) {
    EXPECT_TRUE(object.contains(key)) << key;
  }
  EXPECT_FALSE(object.contains("admission_us"));
  EXPECT_EQ(object["requests"], 3);
  EXPECT_EQ(object["seed"], 7);
}

ReplayReport ServerReport() {
  ReplayReport report;
  report.refused = 2;
  report.refusals = {{"NEVER_FITS", 2}};
  report.server = ServerFigures{};
  report.server->admission = {microseconds(150), microseconds(2500), microseconds(9000)};
  report.server->generation = GenerationFigures{.generated_tokens = 50, .tokens_per_second = 12.5};
  report.server->device = "cpu";
  report.server->memory = {{"weights", Bytes(24 << 20), Bytes(25 << 20)}};
  return report;
}

TEST(ReplayReport, AServerAddsLatencyLeaksAndTokens) {
  const auto object = nlohmann::json::parse(ToJson(ServerReport()));
  EXPECT_EQ(object["admission_us"]["p50"], 150);
  EXPECT_EQ(object["admission_us"]["p99"], 2500);
  EXPECT_EQ(object["admission_us"]["max"], 9000);
  EXPECT_EQ(object["leaked_blocks"], 0);
  EXPECT_EQ(object["generated_tokens"], 50);
  EXPECT_EQ(object["tokens_per_second"], 12.5);
  EXPECT_EQ(object["refusals"]["NEVER_FITS"], 2);
  EXPECT_EQ(object["device"], "cpu");
  EXPECT_EQ(object["memory"][0]["predicted_bytes"], 24 << 20);
  EXPECT_EQ(object["memory"][0]["measured_bytes"], 25 << 20);
}

TEST(ReplayReport, TheTableShowsWhatPeopleLookAt) {
  const std::string text = ToText(ServerReport());
  EXPECT_THAT(text, HasSubstr("2  2 NEVER_FITS"));
  EXPECT_THAT(text, HasSubstr("2.50 ms"));
  EXPECT_THAT(text, HasSubstr("12.5"));
  EXPECT_THAT(text, HasSubstr("24 MiB predicted, 25 MiB measured"));
}

TEST(ReplayTally, CountsEveryRequestOnceAndAddsUpFailures) {
  ReplayTally tally(Tokens(16));
  tally.Admitted(microseconds(0), Tokens(17), Blocks(3), false);
  tally.Admitted(microseconds(10), Tokens(1), Blocks(1), true);
  tally.Refused(Reason::kWaitTimeout);
  tally.Lost("no server");
  EXPECT_EQ(tally.running(), 2);
  EXPECT_EQ(tally.held(), Blocks(4));
  tally.Ended(microseconds(20), Blocks(3), microseconds(20), 0);
  tally.Failed("broken");
  tally.Ended(microseconds(40), Blocks(1), microseconds(30), 16 * 30e3);
  const ReplayReport report = tally.Report();
  EXPECT_EQ(report.requests, 4);
  EXPECT_EQ(report.admitted, 2);
  EXPECT_EQ(report.waited, 1);
  EXPECT_EQ(report.refused, 1);
  EXPECT_EQ(report.lost, 1);
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(report.errors.size(), 2u);
  EXPECT_EQ(report.prompt_blocks, Blocks(3));
  EXPECT_DOUBLE_EQ(report.mean_sequences, 50.0 / 40);
  EXPECT_DOUBLE_EQ(report.useful_fraction, 16 * 30e3 / (48 * 20e3 + 16 * 30e3));
}

TEST(ReplayTallyDeathTest, AReportWhileSomethingRunsAborts) {
  ReplayTally tally(Tokens(16));
  tally.Admitted(Duration(0), Tokens(1), Blocks(1), false);
  EXPECT_DEATH(tally.Report(), "running_ == 0");
}

}  // namespace
}  // namespace plimsoll
