// plimsoll gpus: the catalogue, for people and programs.
#include <set>
#include <string>
#include <vector>

#include "tests/tools/plan_program.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class GpusCli : public PlanCli {
 protected:
  static ProgramResult Gpus(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {PlimsollProgram(), "gpus"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return RunProgram(argv);
  }
};

TEST_F(GpusCli, JsonSaysOfEachWhereItsMemoryIsFrom) {
  const ProgramResult result = Gpus({"--format", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json catalogue = json::parse(result.out);
  EXPECT_GE(catalogue["gpus"].size(), 40U);
  std::set<std::string> marks;
  for (const json& gpu : catalogue["gpus"]) {
    marks.insert(gpu["memory_mark"]);
    EXPECT_FALSE(gpu["memory_source"].get<std::string>().empty());
  }
  EXPECT_EQ(marks, (std::set<std::string>{"estimated", "measured"}));
  EXPECT_EQ(catalogue["gpus"][0]["memory_bytes"], int64_t{81008} << 20);
  for (const json& constant : catalogue["runtime"]) {
    EXPECT_FALSE(constant["source"].get<std::string>().empty());
  }
}

TEST_F(GpusCli, TextIsATable) {
  const ProgramResult result = Gpus({});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("h100-80gb"));
  EXPECT_THAT(result.out, HasSubstr("cuBLAS workspace"));
}

TEST_F(GpusCli, AnUnknownFormatIsBadUsage) { EXPECT_EQ(Gpus({"--format", "xml"}).exit_code, 2); }

TEST_F(PlanCli, TheThreeCountsAndTheirReasons) {
  const json plan = PlanJson({"--model", llama_, "--memory", "80GiB"});
  const json& counts = plan["model"]["counts"];
  EXPECT_EQ(counts["unique"], 8030261248);
  const bool known = counts["stored_known"];
  EXPECT_EQ(counts["stored"].is_null(), !known);
  const std::string text = Plan({"--model", llama_, "--memory", "80GiB"}).out;
  EXPECT_THAT(text, HasSubstr("unique parameters: 8,030,261,248"));
}

TEST_F(PlanCli, WeightsByTheNamesOfCheckpointsAndFiles) {
  const auto weights = [this](const std::string& name) {
    const json plan = PlanJson({"--model", llama_, "--memory", "80GiB", "--weights", name});
    return plan["memory"]["weights_bytes"].get<int64_t>();
  };
  EXPECT_EQ(weights("gptq-g128"), 5732835328);
  EXPECT_EQ(weights("awq-g128"), 5727854592);
  EXPECT_EQ(weights("w4a16-g128"), 5700595200);
  EXPECT_EQ(weights("w8a8-int8"), 9083953152);
  EXPECT_EQ(weights("w8a8-fp8"), 9083953152);
  EXPECT_EQ(weights("fp8"), 9081201536);
  EXPECT_EQ(weights("fp8-block"), 9082904576);
  EXPECT_EQ(weights("nf4"), 6027761664);
  EXPECT_EQ(weights("nf4-dq"), 5702539264);
  EXPECT_EQ(weights("bnb-int8"), 9086705664);
  EXPECT_LT(weights("q4_k_m"), weights("q5_k_m"));
  EXPECT_THAT(Plan({"--model", llama_, "--memory", "80GiB", "--weights", "q9"}).err,
              HasSubstr("weights=q9: want one of fp32"));
}

}  // namespace
}  // namespace plimsoll
