// `plimsoll plan-training` as a person runs it: real process, real files, exit codes and single
// lines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/kvcache/model/published_models.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

using Arguments = std::vector<std::string>;

class PlanTrainingCli : public testing::Test {
 protected:
  ProgramResult Plan(const Arguments& arguments) const {
    Arguments argv = {PlimsollProgram(), "plan-training"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return RunProgram(argv);
  }

  // `base` and one sequence of 1024 tokens in mixed precision.
  static Arguments Mixed(Arguments base, const Arguments& more = {}) {
    for (const char* const word : {"--method", "mixed", "--batch", "1", "--sequence", "1024"}) {
      base.emplace_back(word);
    }
    base.insert(base.end(), more.begin(), more.end());
    return base;
  }

  json Json(Arguments arguments) const {
    arguments.insert(arguments.end(), {"--format", "json"});
    const ProgramResult result = Plan(arguments);
    EXPECT_EQ(result.err, "");
    return json::parse(result.out);
  }

  // One line on standard error, nothing on standard output, exit code 2.
  void ExpectRefused(const Arguments& arguments, const std::string& why) const {
    const ProgramResult result = Plan(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, AllOf(StartsWith("plimsoll: "), HasSubstr(why)));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  std::string Model(std::string_view name) const {
    folder_.Write(std::string(name) + "/config.json", Published(name).config);
    return folder_.File(name);
  }

  TempDir folder_;
  std::string llama_ = Model("huggyllama/llama-13b");
};

TEST_F(PlanTrainingCli, JsonOfA13BInMixedPrecisionHasTheKnownFigures) {
  const json plan = Json(Mixed({"--model", llama_}, {"--activation-formula", "classic"}));
  constexpr int64_t kParameters = 13'015'864'320;
  EXPECT_EQ(plan["model"]["name"], "llama-13b");
  EXPECT_EQ(plan["model"]["parameters"], kParameters);
  const json& memory = plan["memory"];
  EXPECT_EQ(memory["weights_bytes"], 2 * kParameters);
  EXPECT_EQ(memory["gradients_bytes"], 2 * kParameters);
  EXPECT_EQ(memory["optimizer_bytes"], 12 * kParameters);
  EXPECT_EQ(memory["activations_bytes"], 15'518'924'800);
  EXPECT_EQ(memory["buffers_bytes"], 0);
  EXPECT_EQ(memory["total_bytes"], 16 * kParameters + 15'518'924'800);
  EXPECT_FALSE(memory.contains("host"));
  EXPECT_FALSE(plan.contains("gpus_needed"));
}

TEST_F(PlanTrainingCli, FormulasAddUpToTheTotal) {
  const json plan = Json(Mixed({"--model", llama_}, {"--zero", "3", "--gpus", "8"}));
  int64_t sum = 0;
  for (const json& term : plan["formulas"]) {
    EXPECT_FALSE(term["formula"].get<std::string>().empty());
    sum += term["bytes"].get<int64_t>();
  }
  EXPECT_EQ(plan["memory"]["total_bytes"], sum);
  EXPECT_EQ(plan["training"]["zero"], 3);
}

TEST_F(PlanTrainingCli, ABareNumberIsReadAsPeopleWriteIt) {
  for (const char* const count : {"13e9", "13B", "13000000000"}) {
    const json plan = Json(Mixed({"--parameters", count}));
    EXPECT_EQ(plan["memory"]["weights_bytes"], 26'000'000'000);
    EXPECT_EQ(plan["memory"]["optimizer_bytes"], 156'000'000'000);
    EXPECT_EQ(plan["memory"]["activations_bytes"], 15'518'924'800);
    EXPECT_EQ(plan["training"]["activation_formula"], "classic");
  }
}

TEST_F(PlanTrainingCli, OffloadHasHostAndDiskHalves) {
  const json plan =
      Json(Mixed({"--parameters", "16e9"}, {"--zero", "3", "--gpus", "4", "--offload", "nvme"}));
  EXPECT_EQ(plan["memory"]["nvme"]["optimizer_bytes"], 48'000'000'000);
  EXPECT_EQ(plan["memory"]["nvme"]["read_bytes_per_step"], 76'000'000'000);
  EXPECT_EQ(plan["memory"]["host"]["buffers_bytes"], 17'000'000'000);
  EXPECT_EQ(plan["memory"]["optimizer_bytes"], 0);
}

TEST_F(PlanTrainingCli, WhatDoesNotFitSaysHowManyGpusItNeeds) {
  const Arguments arguments = Mixed({"--parameters", "13e9"}, {"--memory", "80GB"});
  const ProgramResult text = Plan(arguments);
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.out, AllOf(HasSubstr("needed"), HasSubstr("Does not fit as planned: "),
                              HasSubstr("--zero 3 --gpus 4"), HasSubstr("--offload cpu")));
  EXPECT_EQ(text.err,
            "plimsoll: 13000000000 parameters: does not fit: 143518924800 bytes short, needs at "
            "least 3 GPUs; try --zero 3 --gpus 4\n");
  Arguments as_json = arguments;
  as_json.insert(as_json.end(), {"--format", "json"});
  const ProgramResult parsed = Plan(as_json);
  EXPECT_EQ(parsed.exit_code, 1);
  const json plan = json::parse(parsed.out);
  EXPECT_EQ(plan["gpus_needed"], 3);
  EXPECT_EQ(plan["memory"]["shortfall_bytes"], 143'518'924'800);
  EXPECT_EQ(plan["nearest_fits"][0]["setting"], "--zero 3 --gpus 4");
}

TEST_F(PlanTrainingCli, WhatFitsExitsWithZero) {
  const ProgramResult result = Plan({"--model", llama_, "--method", "qlora", "--batch", "1",
                                     "--sequence", "1024", "--gpu", "h100"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("13,015,864,320 parameters, none of them trained"),
                    HasSubstr("13,107,200 adapter parameters of rank 16"),
                    HasSubstr("the textbook"), HasSubstr("nf4 with double quantisation"),
                    HasSubstr("dequantised_matrix"), HasSubstr("It fits as planned.")));
}

TEST_F(PlanTrainingCli, LoraTargetsAreAListWithCommas) {
  const json plan = Json({"--model", llama_, "--method", "lora", "--batch", "1", "--sequence", "8",
                          "--lora-rank", "8", "--lora-targets", "q_proj,k_proj,v_proj"});
  EXPECT_EQ(plan["model"]["trained_parameters"], 40 * 3 * 8 * 2 * 5120);
  EXPECT_EQ(plan["training"]["lora_targets"].size(), 3U);
}

TEST_F(PlanTrainingCli, WritesToAFile) {
  const std::string file = folder_.File("plan.json");
  const ProgramResult result = Plan(Mixed({"--model", llama_}, {"--format", "json", "-o", file}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(json::parse(ReadFile(file))["model"]["layers"], 40);
  EXPECT_EQ(Plan(Mixed({"--model", llama_}, {"-o", "/dev/full"})).err,
            "plimsoll: /dev/full: No space left on device\n");
}

TEST_F(PlanTrainingCli, BadUsageIsOneLine) {
  const auto refused = [&](const Arguments& more, const std::string& why) {
    ExpectRefused(Mixed({"--model", llama_}, more), why);
  };
  ExpectRefused({}, "--method");
  ExpectRefused(Mixed({}), "give either --model PATH or --parameters N");
  refused({"--parameters", "13B"}, "give either --model PATH or --parameters N");
  ExpectRefused(Mixed({"--parameters", "13GB"}), "parameters=13GB: want a whole number");
  ExpectRefused(Mixed({"--model", "/no/such/model"}), "/no/such/model: No such file");
  ExpectRefused({"--model", llama_, "--method", "adam", "--batch", "1", "--sequence", "1"},
                "method=adam: want full-fp32, mixed");
  refused({"--zero", "4"}, "zero=4: want 0 to 3");
  refused({"--gpus", "0"}, "gpus=0");
  refused({"--tensor-parallel", "3", "--gpus", "3"}, "tensor_parallel=3");
  refused({"--sequence-parallel"}, "sequence_parallel=true");
  refused({"--recompute", "some"}, "recompute=some: want none, selective or full");
  refused({"--activation-formula", "new"}, "activation_formula=new");
  refused({"--offload", "disk"}, "offload=disk");
  refused({"--gpu", "h9000"}, "gpu=h9000");
  refused({"--memory", "80Gigs"}, "memory=80Gigs: want a size");
  refused({"--memory", "0"}, "device_bytes=0");
  refused({"--format", "yaml"}, "--format");
  refused({"--nonsense"}, "--nonsense");
  ExpectRefused({"--model", llama_, "--method", "lora", "--batch", "1", "--sequence", "1",
                 "--lora-targets", "c_attn"},
                "lora_targets=c_attn: want some of down_proj");
}

TEST_F(PlanTrainingCli, CountsOutOfRangeAreRefused) {
  for (const std::string count : {"0", "-1", "9223372036854775807", "18446744073709551616"}) {
    for (const std::string option : {"--batch", "--sequence", "--gpus", "--tensor-parallel"}) {
      Arguments arguments = {"--model", llama_, "--method", "mixed", option + "=" + count};
      for (const std::string other : {"--batch", "--sequence"}) {
        if (other != option) arguments.push_back(other + "=1");
      }
      ExpectRefused(arguments, "");
    }
  }
}

TEST_F(PlanTrainingCli, APipelineSaysWhichStageItPlans) {
  const Arguments piped = {"--gpus", "8", "--pipeline-parallel", "4", "--interleave", "2"};
  const json plan = Json(Mixed({"--model", llama_}, piped));
  EXPECT_EQ(plan["training"]["pipeline_parallel"], 4);
  EXPECT_EQ(plan["training"]["interleave"], 2);
  EXPECT_EQ(plan["training"]["stage"], 0);
  EXPECT_THAT(Plan(Mixed({"--model", llama_}, piped)).out,
              HasSubstr("pipeline of 4 stages of 2 chunks, here stage 1, the fullest"));
}

TEST_F(PlanTrainingCli, RecomputingSaysWhatItCosts) {
  EXPECT_THAT(Plan(Mixed({"--parameters", "7B"}, {"--recompute", "full"})).out,
              HasSubstr("recompute full (33.3% more compute)"));
}

TEST_F(PlanTrainingCli, CompareSetsPlansSideBySide) {
  const ProgramResult text =
      Plan(Mixed({"--model", llama_}, {"--compare", "method=bf16", "method=mixed,zero=3,gpus=8"}));
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("A  llama-13b, method=bf16\n"),
                              HasSubstr("B  llama-13b, method=mixed,zero=3,gpus=8\n"),
                              HasSubstr("total of one GPU"), HasSubstr("to A")));
  const json both = Json(Mixed({"--model", llama_}, {"--compare", "parameters=13B"}))["compare"];
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0]["setting"], "as given");
  EXPECT_EQ(both[0]["model"]["parameters"], 13'015'864'320);
  EXPECT_EQ(both[1]["model"]["parameters"], 13'000'000'000);
}

TEST_F(PlanTrainingCli, CompareTakesListsWithPlusAndModelsByTheirPath) {
  const std::string smaller = Model("huggyllama/llama-7b");
  const json compared = Json(Mixed(
      {"--model", llama_},
      {"--compare", smaller, "method=lora,lora-targets=q_proj+k_proj,lora-rank=8"}))["compare"];
  EXPECT_EQ(compared[0]["model"]["name"], "llama-7b");
  EXPECT_EQ(compared[1]["model"]["trained_parameters"], 40 * 2 * 8 * 2 * 5120);
}

TEST_F(PlanTrainingCli, ExplainDerivesATerm) {
  const Arguments arguments = Mixed({"--parameters", "13B"}, {"--explain", "moments"});
  EXPECT_THAT(Plan(arguments).out, AllOf(StartsWith("moments = P x 8"), HasSubstr("Kingma and Ba"),
                                         HasSubstr("= 13000000000 parameters x 8 bytes"),
                                         HasSubstr("104,000,000,000 bytes")));
  EXPECT_EQ(Json(arguments)["explain"]["value"], 104'000'000'000);
}

TEST_F(PlanTrainingCli, CurvesStandBesideThePlanWhenAskedFor) {
  const Arguments arguments = Mixed({"--parameters", "13B"}, {"--curve"});
  const json curves = Json(arguments)["curves"];
  EXPECT_EQ(curves["activations_over_sequence"].size(), 7U);
  EXPECT_EQ(curves["activations_over_sequence"][3]["sequence"], 1024);
  EXPECT_EQ(curves["activations_over_sequence"][3]["none_bytes"], 15'518'924'800);
  EXPECT_EQ(curves["states_over_zero"].size(), 4U);
  EXPECT_EQ(curves["zero_replicas"], 8);
  EXPECT_THAT(Plan(arguments).out, HasSubstr("states by ZeRO stage, over 8 replicas"));
}

TEST_F(PlanTrainingCli, BadQuestionsAreOneLine) {
  const auto refused = [&](const Arguments& more, const std::string& why) {
    ExpectRefused(Mixed({"--model", llama_}, more), why);
  };
  refused({"--explain", "magic"}, "explain=magic: want one of weights, gradients");
  refused({"--explain", "total", "--compare", "zero=1"}, "want one question");
  refused({"--explain", "total", "--format", "html"}, "format=html");
  refused({"--compare", "method=adam"}, "compare=method=adam: method=adam: want");
  refused({"--compare", "nonsense=1"}, "compare=nonsense=1");
  refused({"--compare", "method=lora,"}, "an empty setting");
  refused({"--compare", "/no/such/model"}, "/no/such/model");
  refused({"--pipeline-parallel", "3"}, "gpus=1: want a multiple of");
  refused({"--interleave", "2"}, "interleave=2: want pipeline_parallel");
  refused({"--expert-parallel", "2", "--gpus", "2"}, "the model has no experts");
}

TEST_F(PlanTrainingCli, HelpNamesEveryOption) {
  const ProgramResult help = Plan({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* const text : {"--model",
                                 "--parameters",
                                 "--method",
                                 "--batch",
                                 "--sequence",
                                 "--lora-rank",
                                 "--lora-targets",
                                 "--zero",
                                 "--gpus",
                                 "--gpu",
                                 "--memory",
                                 "--recompute",
                                 "--activation-formula",
                                 "--offload",
                                 "--tensor-parallel",
                                 "--sequence-parallel",
                                 "--pipeline-parallel",
                                 "--interleave",
                                 "--expert-parallel",
                                 "--curve",
                                 "--explain",
                                 "--compare",
                                 "--format",
                                 "--output",
                                 "Example:"}) {
    EXPECT_THAT(help.out, HasSubstr(text));
  }
}

}  // namespace
}  // namespace plimsoll
