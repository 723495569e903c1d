// The questions that are asked of a plan: --solve, --compare, --explain, --curve, --parameters.
#include <string>
#include <vector>

#include "tests/tools/plan_program.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class PlanQuestions : public PlanCli {
 protected:
  // Arguments about Llama-3.1-8B.
  std::vector<std::string> Llama(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"--model", llama_});
    return arguments;
  }

  // The same plan's sequences of one context.
  int64_t SequencesAt(int64_t context, const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = Llama(arguments);
    all.insert(all.end(), {"--context", std::to_string(context)});
    return PlanJson(all)["capacity"]["max_sequences"][0]["sequences"];
  }
};

TEST_F(PlanQuestions, SolveSequencesIsThePlansTable) {
  const json plan = PlanJson(Llama({"--memory", "80GiB", "--solve", "sequences"}));
  EXPECT_EQ(plan["solve"]["question"], "sequences");
  EXPECT_EQ(plan["solve"]["rows"][0]["sequences"],
            plan["capacity"]["max_sequences"][0]["sequences"]);
  EXPECT_THAT(Plan(Llama({"--memory", "80GiB", "--solve", "sequences"})).out, StartsWith("Fits: "));
}

TEST_F(PlanQuestions, SolveContextNamesTheLongestThatIsHeld) {
  const json plan =
      PlanJson(Llama({"--memory", "24GiB", "--solve", "context", "--sequences", "1", "4"}));
  const json& rows = plan["solve"]["rows"];
  ASSERT_EQ(rows.size(), 2U);
  for (const json& row : rows) {
    const int64_t context = row["context"];
    EXPECT_GE(SequencesAt(context, {"--memory", "24GiB"}), row["sequences"].get<int64_t>());
    EXPECT_LT(SequencesAt(context + 1, {"--memory", "24GiB"}), row["sequences"].get<int64_t>());
  }
  EXPECT_EQ(plan["solve"]["answer"], rows[0]["context"]);
  const ProgramResult text = Plan(Llama({"--memory", "80GiB", "--solve", "context"}));
  EXPECT_THAT(text.out,
              StartsWith("The longest context of 1 sequence is 131,072 tokens, the model's own."));
}

TEST_F(PlanQuestions, SolveGpusFindsTheFewestThatHoldTheLoad) {
  const std::string big = Model("meta-llama/Llama-3.3-70B-Instruct");
  const std::vector<std::string> arguments = {
      "--model", big, "--gpu", "h100", "--solve", "gpus", "--sequences", "16", "--context", "8192"};
  const json plan = PlanJson(arguments);
  const json& rows = plan["solve"]["rows"];
  const json& answer = rows.back();
  EXPECT_EQ(plan["solve"]["answer"], answer["gpus"]);
  EXPECT_GE(answer["sequences"], 16);
  for (size_t i = 0; i + 1 < rows.size(); ++i) EXPECT_LT(rows[i]["sequences"], 16);
  EXPECT_THAT(Plan(arguments).out, AllOf(HasSubstr(" x h100-80gb (tensor parallel "),
                                         HasSubstr("have room for 16 sequences of 8,192 tokens.")));
}

TEST_F(PlanQuestions, SolveGpusWithoutAGpuTablesTheCatalogue) {
  const json plan = PlanJson(Llama({"--solve", "gpus", "--sequences", "4", "--context", "8192"}));
  const json& rows = plan["solve"]["rows"];
  ASSERT_GT(rows.size(), 10U);
  for (size_t i = 1; i < rows.size(); ++i) {
    EXPECT_GE(rows[i]["gpus"], rows[i - 1]["gpus"]);
    EXPECT_GE(rows[i]["sequences"], 4);
  }
  EXPECT_EQ(rows[0]["gpus"], 1);
  EXPECT_EQ(plan["memory"]["device_bytes"], rows[0]["memory_bytes"]);
  EXPECT_THAT(Plan(Llama({"--solve", "gpus", "--context", "8192"})).out,
              StartsWith("The smallest with room for 1 sequence of 8,192 tokens: 1 x "));
}

TEST_F(PlanQuestions, SolveWeightsAndKvNameTheWidestTypeAndPlanWithIt) {
  const json weights =
      PlanJson(Llama({"--memory", "12GiB", "--solve", "weights", "--context", "8192"}));
  EXPECT_EQ(weights["solve"]["answer"], "int8");
  EXPECT_EQ(weights["model"]["weights_type"], "int8");
  EXPECT_EQ(weights["solve"]["rows"][0]["type"], "as stored");
  EXPECT_EQ(weights["solve"]["rows"][0]["holds"], false);
  const json kv = PlanJson(
      Llama({"--memory", "40GiB", "--solve", "kv", "--context", "131072", "--sequences", "2"}));
  EXPECT_EQ(kv["solve"]["answer"], kv["model"]["kv_type"]);
  EXPECT_EQ(kv["solve"]["wanted"]["sequences"], 2);
}

TEST_F(PlanQuestions, WithoutAnAnswerTheExitCodeIsOne) {
  const ProgramResult none =
      Plan(Llama({"--memory", "4GiB", "--solve", "weights", "--context", "8192"}));
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.out, StartsWith("No type of weights is narrow enough for 1 sequence of 8,192"));
  EXPECT_THAT(none.err, StartsWith("plimsoll: Llama-3.1-8B: No type of weights"));
}

TEST_F(PlanQuestions, CurveHasEachNarrowerType) {
  const json plan = PlanJson(Llama({"--memory", "80GiB", "--curve"}));
  ASSERT_EQ(plan["curve"].size(), 6U);
  EXPECT_EQ(plan["curve"][0]["setting"], "as given");
  EXPECT_EQ(plan["curve"][0]["points"][0]["sequences"],
            plan["capacity"]["max_sequences"][0]["sequences"]);
  EXPECT_FALSE(PlanJson(Llama({"--memory", "80GiB"})).contains("curve"));
  EXPECT_THAT(Plan(Llama({"--memory", "80GiB", "--curve"})).out,
              AllOf(HasSubstr("weights int4"), HasSubstr("█")));
}

TEST_F(PlanQuestions, CompareLaysSettingsAndModelsSideBySide) {
  const std::string small = Model("meta-llama/Llama-3.2-1B");
  const json plans = PlanJson(Llama({"--memory", "80GiB", "--compare", "weights=int4,kv=fp8",
                                     "tensor-parallel=2", small}))["compare"];
  ASSERT_EQ(plans.size(), 3U);
  EXPECT_EQ(plans[0]["setting"], "weights=int4,kv=fp8");
  EXPECT_EQ(plans[0]["model"]["weights_type"], "int4");
  EXPECT_EQ(plans[0]["model"]["kv_type"], "fp8");
  EXPECT_EQ(plans[1]["capacity"]["block_bytes"], 1048576);
  EXPECT_EQ(plans[2]["model"]["name"], "Llama-3.2-1B");
  const ProgramResult text = Plan(Llama({"--memory", "80GiB", "--compare", "weights=int4", small}));
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, AllOf(HasSubstr("A  weights=int4: Llama-3.1-8B"),
                              HasSubstr("B  " + small + ": Llama-3.2-1B"), HasSubstr("weights"),
                              HasSubstr("to A"), HasSubstr("at 8,192")));
}

TEST_F(PlanQuestions, OneSettingIsComparedWithThePlanAsGiven) {
  const json plans = PlanJson(Llama({"--memory", "80GiB", "--compare", "weights=int8"}))["compare"];
  ASSERT_EQ(plans.size(), 2U);
  EXPECT_EQ(plans[0]["setting"], "as given");
  EXPECT_EQ(plans[1]["setting"], "weights=int8");
}

TEST_F(PlanQuestions, ExplainDerivesATermWithItsNumbers) {
  const std::vector<std::string> arguments = Llama({"--memory", "80GiB", "--explain", "logits"});
  EXPECT_EQ(Plan(arguments).out,
            "logits = B x R x V x 4\n"
            "     = 131,334,144 bytes (125.25 MiB)\n"
            "\n"
            "   1. B = 256 sequences of one step   [--max-sequences]\n"
            "   2. R = 1 rows of a sequence   [1, and --lookahead-tokens]\n"
            "   3. V = 128256 vocabulary   [vocab_size of the model]\n"
            "   4. 256 sequences x 128256 vocabulary x 4 bytes = 131334144 bytes\n");
  const json explained = PlanJson(arguments)["explain"];
  EXPECT_EQ(explained["value"], 131334144);
  EXPECT_EQ(explained["steps"].size(), 4U);
}

TEST_F(PlanQuestions, ParametersAloneGiveTheTextbooksFigures) {
  for (const auto& [n, gigabytes] :
       std::vector<std::pair<std::string, int64_t>>{{"7B", 14}, {"13e9", 26}, {"70B", 140}}) {
    EXPECT_EQ(PlanJson({"--parameters", n})["textbook"]["weights_bytes"], gigabytes * 1000000000);
  }
  const json plan = PlanJson({"--parameters", "13e9", "--max-batched-tokens", "1024"});
  EXPECT_EQ(plan["textbook"]["input_bytes"], 10485760);
  EXPECT_EQ(PlanJson({"--parameters", "13e9", "--weights", "fp32"})["textbook"]["weights_bytes"],
            52000000000);
  EXPECT_THAT(Plan({"--parameters", "7B"}).out,
              StartsWith("14.0 GB of weights; serving takes 21.0 GB to 35.0 GB"));
}

TEST_F(PlanQuestions, APlanShowsTheTextbookBesideTheExactFigures) {
  const json textbook =
      PlanJson({"--model", Model("huggyllama/llama-7b"), "--memory", "80GiB"})["textbook"];
  EXPECT_EQ(textbook["parameters"],
            4096LL * 32000 + 32LL * (12LL * 4096 * 4096 + 13 * 4096) + 2 * 4096);
  EXPECT_NEAR(textbook["parameters_error_percent"].get<double>(), -2.4, 0.1);
  EXPECT_EQ(textbook["serving_least_bytes"], 3 * 6738415616);
  EXPECT_THAT(Plan(Llama({"--memory", "80GiB"})).out, HasSubstr("By the textbook"));
}

TEST_F(PlanQuestions, BadQuestionsAreOneLine) {
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& why) {
    ExpectRefused(Llama(arguments), why);
  };
  refused({"--memory", "80GiB", "--solve", "happiness"}, "--solve");
  refused({"--solve", "context"}, "give --gpu NAME or --memory SIZE");
  refused({"--memory", "80GiB", "--solve", "kv", "--sequences", "0"}, "sequences=0");
  refused({"--memory", "80GiB", "--solve", "kv", "--sequences", "-5"}, "sequences=-5");
  refused({"--memory", "80GiB", "--solve", "kv", "--sequences", "1", "2"}, "sequences: give one");
  refused({"--memory", "80GiB", "--solve", "gpus", "--context", "1", "2"}, "context: give one");
  refused({"--memory", "80GiB", "--solve", "kv", "--explain", "kv"}, "excludes");
  refused({"--memory", "80GiB", "--explain", "wieghts"}, "explain=wieghts: want one of weights");
  refused({"--memory", "80GiB", "--compare", "wieghts=int4"}, "compare=wieghts=int4: ");
  refused({"--memory", "80GiB", "--compare", "weights=int4,"}, "an empty setting");
  refused({"--memory", "80GiB", "--compare", "weights=int3"},
          "compare=weights=int3: weights=int3: want one of");
  refused({"--memory", "80GiB", "--compare", "weights=int4", "/no/such/model"},
          "compare=/no/such/model: /no/such/model: No such file");
  refused({"--compare", "weights=int4"}, "give --gpu NAME or --memory SIZE");
  refused({"--memory", "80GiB", "--compare", "tensor-parallel=three"}, "compare=tensor-parallel");
  refused({"--memory", "80GiB", "--explain", "kv", "--format", "html"}, "format=html");
  refused({"--parameters", "7B"}, "excludes");
  ExpectRefused({"--parameters", "many"}, "parameters=many");
  ExpectRefused({"--parameters", "0"}, "parameters=0");
  ExpectRefused({"--parameters", "7B", "--weights", "gptq-g128"}, "weights=gptq-g128");
  ExpectRefused({"--parameters", "7B", "--max-batched-tokens", "0"}, "max_batched_tokens=0");
}

}  // namespace
}  // namespace plimsoll
