// `plimsoll plan` for models spread over GPUs, with a draft, a shared prefix, other attention.
#include <string>
#include <vector>

#include "tests/tools/plan_program.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class PlanDeployment : public PlanCli {
 protected:
  std::vector<std::string> Llama(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"--model", llama_, "--memory", "80GiB"});
    return arguments;
  }

  static int64_t Term(const json& plan, const std::string& name) {
    for (const json& term : plan["formulas"]) {
      if (term["term"] == name) return term["bytes"];
    }
    return 0;
  }
};

TEST_F(PlanDeployment, MemoryIsThatOfOneGpuAndTheModelIsWhole) {
  const json plan = PlanJson(Llama({"--tensor-parallel", "4"}));
  EXPECT_EQ(plan["deployment"]["gpus"], 4);
  EXPECT_EQ(plan["model"]["kv_bytes_per_token"], 131072);
  EXPECT_EQ(plan["capacity"]["block_bytes"], 2097152 / 4);
  EXPECT_EQ(plan["memory"]["weights_bytes"], 2 * 2007764992LL);
  EXPECT_EQ(plan["memory"]["budget_bytes"], SumOfMemory(plan));
}

TEST_F(PlanDeployment, EveryStageHasARow) {
  const json plan = PlanJson(Llama({"--pipeline-parallel", "4"}));
  const json& stages = plan["deployment"]["stages"];
  ASSERT_EQ(stages.size(), 4U);
  EXPECT_EQ(stages[1]["first_layer"], 8);
  EXPECT_EQ(stages[1]["weights_bytes"], 2 * 8 * 218112000LL);
  EXPECT_EQ(stages[1]["kv_bytes_per_token"], 131072 / 4);
  EXPECT_EQ(plan["capacity"]["blocks"],
            stages[plan["deployment"]["stage"].get<size_t>()]["blocks"]);
  EXPECT_THAT(Plan(Llama({"--pipeline-parallel", "4"})).out,
              AllOf(HasSubstr("stage"), HasSubstr("4, binds"), HasSubstr("9-16")));
  EXPECT_THAT(Plan(Llama({})).out, Not(HasSubstr("binds")));
}

TEST_F(PlanDeployment, ADraftTakesWeightsAndRoomInEachBlock) {
  const json plan = PlanJson(
      Llama({"--draft-model", Model("meta-llama/Llama-3.2-1B"), "--lookahead-tokens", "5"}));
  EXPECT_EQ(plan["deployment"]["draft"], "Llama-3.2-1B");
  EXPECT_EQ(Term(plan, "draft"), 2 * 1235814400LL);
  EXPECT_EQ(plan["memory"]["draft_bytes"], Term(plan, "draft") + Term(plan, "draft kv"));
  EXPECT_EQ(Term(plan, "logits"), 256LL * 6 * 128256 * 4);
}

TEST_F(PlanDeployment, ASharedPrefixLeavesRoomForMore) {
  const auto sequences = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--context", "4096"});
    return PlanJson(Llama(arguments))["capacity"]["max_sequences"][0]["sequences"].get<int64_t>();
  };
  EXPECT_GT(sequences({"--shared-prefix", "2048"}), sequences({}));
}

TEST_F(PlanDeployment, WithoutFlashAttentionThereAreScores) {
  const json plan = PlanJson(Llama({"--no-flash-attention", "--max-batched-tokens", "2048"}));
  EXPECT_EQ(Term(plan, "attention"), 32LL * 2048 * 2048 * 4);
}

TEST_F(PlanDeployment, WhatCannotBeSplitIsRefused) {
  ExpectRefused(Llama({"--tensor-parallel", "3"}), "tensor_parallel=3: want a divisor");
  ExpectRefused(Llama({"--pipeline-parallel", "33"}), "pipeline_parallel=33: want 1 to 32");
  ExpectRefused(Llama({"--expert-parallel", "2"}), "the model has no experts");
  ExpectRefused(Llama({"--tensor-parallel", "-1"}), "tensor_parallel=-1");
  ExpectRefused(Llama({"--lookahead-tokens", "-1"}), "lookahead_tokens=-1");
  ExpectRefused(Llama({"--draft-model", "/nowhere"}), "/nowhere");
}

}  // namespace
}  // namespace plimsoll
