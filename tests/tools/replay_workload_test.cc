// From a trace to what is sent: paces, scaling, bounds.
#include "tools/replay/workload.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TraceRequest Request(Duration arrival, int64_t prompt, int64_t output) {
  return {arrival, Tokens(prompt), Tokens(output)};
}

TEST(Workload, AtTheDefaultRatesAPromptOf1000AndTenTokensTake400Milliseconds) {
  const auto workload = MakeWorkload(std::vector{Request(seconds(9), 1000, 10)}, {});
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_EQ(workload->requests[0].arrival, seconds(9));
  EXPECT_EQ(workload->requests[0].prefill, milliseconds(100));
  EXPECT_EQ(workload->HoldTime(workload->requests[0]), milliseconds(400));
  // 1000 tokens for ten steps of 30 ms, and 9 + 8 + ... + 0 = 45 more token steps.
  EXPECT_DOUBLE_EQ(workload->TokenTime(workload->requests[0]), 30e6 * (10000 + 45));
}

TEST(Workload, SpeedDividesArrivalsAndHoldTimesAlike) {
  const auto workload = MakeWorkload(std::vector{Request(seconds(9), 1000, 10)}, {.speed = 10});
  EXPECT_EQ(workload->requests[0].arrival, milliseconds(900));
  EXPECT_EQ(workload->HoldTime(workload->requests[0]), milliseconds(40));
}

TEST(Workload, ScaledLengthsStayAtLeastOneAndNothingStaysNothing) {
  const auto workload =
      MakeWorkload(std::vector{Request(seconds(0), 1000, 10), Request(seconds(0), 3, 0)},
                   {.scale_lengths = 0.01});
  EXPECT_EQ(workload->requests[0].prompt, Tokens(10));
  EXPECT_EQ(workload->requests[0].output, Tokens(1));
  EXPECT_EQ(workload->requests[1].prompt, Tokens(1));
  EXPECT_EQ(workload->requests[1].output, Tokens(0));
}

TEST(Workload, OutputsAreAtLeastAsLongAsAsked) {
  const auto workload =
      MakeWorkload(std::vector{Request(seconds(0), 3, 0)}, {.least_output = Tokens(1)});
  EXPECT_EQ(workload->requests[0].output, Tokens(1));
}

TEST(Workload, OptionsOutOfRangeAreRefusedByName) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const std::vector<TraceRequest> trace = {Request(seconds(0), 1, 1)};
  const std::pair<WorkloadOptions, const char*> wrong[] = {
      {{.speed = 0}, "--speed=0: "},
      {{.speed = -1}, "--speed=-1: "},
      {{.speed = kNaN}, "--speed=nan: "},
      {{.prefill_rate = 0}, "--prefill-rate=0: "},
      {{.prefill_rate = INFINITY}, "--prefill-rate=inf: "},
      {{.decode_ms = -1}, "--decode-ms=-1: "},
      {{.scale_lengths = 0}, "--scale-lengths=0: "}};
  for (const auto& [options, message] : wrong) {
    const absl::Status status = MakeWorkload(trace, options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()), testing::StartsWith(message));
  }
}

TEST(Workload, MoreTimeThanCanBeCountedIsRefused) {
  constexpr int64_t kMany = int64_t{1} << 40;
  EXPECT_TRUE(absl::IsInvalidArgument(
      MakeWorkload(std::vector{Request(seconds(0), 1, kMany)}, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      MakeWorkload(std::vector{Request(seconds(0), kMany, 1)}, {.prefill_rate = 1e-12}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      MakeWorkload(std::vector{Request(seconds(1), 1, 1)}, {.speed = 1e-12}).status()));
}

}  // namespace
}  // namespace plimsoll
