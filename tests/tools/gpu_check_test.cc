// tools/gpu-check as it runs on a GPU, on the emulator instead: the script, its files, its answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

ProgramResult GpuCheck(const std::vector<std::string>& arguments,
                       const std::string& build = PLIMSOLL_BINARY_DIR) {
  const std::string script = std::string(PLIMSOLL_SOURCE_DIR) + "/tools/gpu-check";
  std::vector<std::string> argv = {script, "--build", build};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return RunProgram(argv);
}

TEST(GpuCheck, ChecksEveryKernelOnTheEmulator) {
  const TempDir dir;
  const ProgramResult result = GpuCheck({"--emulated", dir.File("out")});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  const nlohmann::json report = nlohmann::json::parse(ReadFile(dir.File("out/gpu-check.json")));
  EXPECT_EQ(report["device"], "emulator");
  EXPECT_EQ(report["held"], true);
  EXPECT_EQ(report["checks"].size(), 9u) << report.dump(1);
  for (const nlohmann::json& check : report["checks"]) {
    EXPECT_EQ(check["held"], true) << check.dump(1);
    EXPECT_THAT(std::string(check["note"]), HasSubstr(" passed, 0 skipped"));
    EXPECT_THAT(ReadFile(dir.File("out/gpu-check.txt")), HasSubstr(std::string(check["name"])));
  }
}

// A build in which nothing works: every check fails, is named, and the answer is 1.
TEST(GpuCheck, AnswersOneWhenAProgramIsMissing) {
  const TempDir dir;
  dir.Write("build/bin/plimsoll", "");
  const ProgramResult result = GpuCheck({"--emulated", dir.File("out")}, dir.File("build"));
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.out, HasSubstr("is not built"));
  const nlohmann::json report = nlohmann::json::parse(ReadFile(dir.File("out/gpu-check.json")));
  EXPECT_EQ(report["held"], false);
}

TEST(GpuCheck, WithoutAGpuItSaysSo) {
  if (access("/dev/nvidiactl", F_OK) == 0) GTEST_SKIP() << "there is a GPU";
  const TempDir dir;
  const ProgramResult result = GpuCheck({dir.File("out")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "gpu-check: no GPU: nvidia-smi names none; --emulated runs without one\n");
}

}  // namespace
}  // namespace plimsoll
