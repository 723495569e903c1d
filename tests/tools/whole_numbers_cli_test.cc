// Numbers that no 64 bits hold, over the whole command line: refused in one line, never clamped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kHuge[] = "99999999999999999999";

void ExpectRefused(const std::vector<std::string>& arguments, const std::string& why) {
  std::vector<std::string> argv = {PlimsollProgram()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const ProgramResult result = RunProgram(argv);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, AllOf(StartsWith("plimsoll: "), HasSubstr(why)));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

constexpr char kSigned[] = "want a whole number from -9223372036854775808 to 9223372036854775807";
constexpr char kUnsigned[] = "want a whole number from 0 to 18446744073709551615";

TEST(WholeNumbersCli, BeyondSixtyFourBitsTheyAreRefused) {
  const std::string said = std::string(kHuge) + ": " + kSigned;
  ExpectRefused({"plan", "--model", "m", "--context", kHuge}, said);
  ExpectRefused({"plan", "--model", "m", "--context", "4096", kHuge}, said);
  ExpectRefused({"plan", "--model", "m", "--block-tokens", std::string("-") + kHuge}, kSigned);
  ExpectRefused({"plan-training", "--model", "m", "--batch", kHuge}, said);
  ExpectRefused({"serve", "--device", "none", "--blocks", kHuge}, said);
  ExpectRefused({"serve", "--device", "none", "--max-connections", kHuge}, said);
  ExpectRefused({"replay", "--blocks", kHuge}, said);
  ExpectRefused({"replay", "--seed", kHuge}, std::string(kHuge) + ": " + kUnsigned);
  ExpectRefused({"reserve", "--prompt-tokens", kHuge}, said);
  ExpectRefused({"serve", "--device", "none", "--model", "m", "--memory", kHuge}, kHuge);
}

// Which the parser took for the largest number, and for eight.
TEST(WholeNumbersCli, NeitherASignNorALeadingZeroMakesAnotherNumber) {
  ExpectRefused({"replay", "--seed=-1"}, std::string("-1: ") + kUnsigned);
  ExpectRefused({"serve", "--device", "none", "--blocks", "010"}, std::string("010: ") + kSigned);
  ExpectRefused({"serve", "--device", "none", "--blocks", "0x10"}, kSigned);
}

TEST(WholeNumbersCli, SettingsOfAFileOrOfAComparisonAreNoOthers) {
  const TempDir folder;
  const std::string file = folder.Write("c", "device: \"none\"\nblocks: 99999999999999999999\n");
  ExpectRefused({"serve", "--check-config", "--config", file}, kHuge);
  const std::string in_environment = std::string("PLIMSOLL_BLOCKS=") + kHuge;
  const ProgramResult result = RunProgram(
      {"env", in_environment, PlimsollProgram(), "serve", "--device", "none", "--check-config"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr(kSigned));
  ExpectRefused({"plan", "--memory", "80GiB", "--compare", std::string("block-tokens=") + kHuge,
                 "block-tokens=16"},
                "want a whole number");
}

TEST(WholeNumbersCli, TheLargestThereIsIsStillANumber) {
  const ProgramResult result = RunProgram({PlimsollProgram(), "serve", "--check-config", "--device",
                                           "none", "--blocks", "9223372036854775807"});
  EXPECT_THAT(result.err, testing::Not(HasSubstr("want a whole number"))) << result.err;
}

}  // namespace
}  // namespace plimsoll
