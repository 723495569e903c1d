// One plan: its figures, its table, and what is refused. The questions are in
// plan_questions_cli_test.cc.
#include <string>
#include <vector>

#include "tests/kvcache/model/published_files.h"
#include "tests/tools/plan_program.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(PlanCli, JsonOfLlama31On80GiBHasTheKnownFigures) {
  const ProgramResult result = Plan({"--model", llama_, "--memory", "80GiB", "--format", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json plan = json::parse(result.out);
  EXPECT_EQ(plan["model"]["name"], "Llama-3.1-8B");
  EXPECT_EQ(plan["model"]["parameters"], 8030261248);
  EXPECT_EQ(plan["model"]["kv_bytes_per_token"], 131072);
  EXPECT_EQ(plan["capacity"]["block_tokens"], 16);
  EXPECT_EQ(plan["capacity"]["block_bytes"], 2097152);
  EXPECT_EQ(plan["memory"]["weights_bytes"], 16060522496);
  EXPECT_EQ(plan["memory"]["budget_bytes"], 79027398246);
  EXPECT_EQ(plan["memory"]["budget_bytes"], SumOfMemory(plan));
}

TEST_F(PlanCli, JsonHasEveryKey) {
  const json plan = json::parse(
      Plan({"--model", llama_, "--gpu", "h100", "--context", "4096", "100", "--format", "json"})
          .out);
  for (const char* const key :
       {"name", "architecture", "parameters", "parameters_stored", "parameters_active", "layers",
        "kv_bytes_per_token", "kv_bytes_per_token_long", "window_bytes_per_sequence",
        "state_bytes_per_sequence"}) {
    EXPECT_TRUE(plan["model"].contains(key)) << key;
  }
  for (const char* const key :
       {"block_tokens", "block_bytes", "blocks", "tokens", "longest_context", "max_sequences"}) {
    EXPECT_TRUE(plan["capacity"].contains(key)) << key;
  }
  EXPECT_EQ(plan["capacity"]["max_sequences"].size(), 2U);
  EXPECT_EQ(plan["capacity"]["max_sequences"][1]["context"], 100);
  std::vector<std::string> terms;
  for (const json& term : plan["formulas"]) terms.push_back(term["term"]);
  EXPECT_THAT(terms, testing::IsSupersetOf(
                         {"weights", "kv", "input", "output", "logits", "activations", "runtime"}));
}

TEST_F(PlanCli, SaysWhatOfTheCheckpointItLeavesOut) {
  const TempDir folder;
  const std::string file = folder.Write("mimo/config.json", kPublishedFiles[0].model.config);
  const json model =
      json::parse(Plan({"--model", file, "--memory", "80GiB", "--format", "json"}).out)["model"];
  EXPECT_EQ(model["parameters"], 7622619136);
  EXPECT_EQ(model["parameters_stored"], 7833409536);
  EXPECT_EQ(model["left_out"],
            json::array({{{"part", "prediction block"}, {"elements", 210790400}}}));
  EXPECT_THAT(Plan({"--model", file, "--memory", "80GiB"}).out,
              HasSubstr("left out: prediction block (210,790,400 elements)"));
}

TEST_F(PlanCli, InputAndOutputOf13BAt1024TokensAre10MiBEach) {
  const json plan =
      json::parse(Plan({"--model", Model("meta-llama/Llama-2-13b-hf"), "--memory", "80GiB",
                        "--weights", "fp16", "--max-batched-tokens", "1024", "--format", "json"})
                      .out);
  for (const json& term : plan["formulas"]) {
    if (term["term"] == "input" || term["term"] == "output") {
      EXPECT_EQ(term["bytes"], 10485760);
    }
  }
}

TEST_F(PlanCli, TheTableHasTermsFormulasAndCapacity) {
  const ProgramResult result =
      Plan({"--model", llama_ + "/config.json", "--gpu", "h100", "--weights", "int4"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, StartsWith("Fits: "));
  for (const char* const text :
       {"Llama-3.1-8B (LlamaForCausalLM)", "8,030,261,248 parameters", "weights in int4",
        "6979321856 x 4 bits + 218103808 bytes of scales", "estimated for h100-80gb", "131,072",
        "blocks of 16 tokens (2 MiB each)", "sequences"}) {
    EXPECT_THAT(result.out, HasSubstr(text));
  }
}

TEST_F(PlanCli, TheTableIsReadableAt100Columns) {
  for (const std::string& model : {llama_, Model("google/gemma-3-27b-it")}) {
    const ProgramResult result = Plan({"--model", model, "--gpu", "h200", "--curve"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    size_t begin = 0;
    for (size_t end; (end = result.out.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const std::string line = result.out.substr(begin, end - begin);
      const auto characters = std::count_if(line.begin(), line.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
      });
      EXPECT_LE(characters, 100) << line;
    }
  }
}

TEST_F(PlanCli, TheFirstLineAnswers) {
  const ProgramResult fits = Plan({"--model", llama_, "--memory", "80GiB"});
  const json plan = PlanJson({"--model", llama_, "--memory", "80GiB"});
  EXPECT_THAT(fits.out, StartsWith("Fits: "));
  EXPECT_THAT(fits.out.substr(0, fits.out.find('\n')), HasSubstr(" sequences of 8,192."));
  EXPECT_EQ(plan["capacity"]["max_sequences"][3]["context"], 8192);
  const auto sequences = plan["capacity"]["max_sequences"][3]["sequences"].get<int64_t>();
  EXPECT_THAT(fits.out, HasSubstr("; " + std::to_string(sequences) + " sequences of 8,192."));
}

TEST_F(PlanCli, ALoadThatDoesNotFitSaysHowManyDo) {
  const std::vector<std::string> arguments = {"--model",   llama_, "--memory",    "24GiB",
                                              "--context", "8192", "--sequences", "10"};
  const ProgramResult result = Plan(arguments);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out,
              AllOf(StartsWith("Does not fit: 10 sequences of 8,192 tokens are wanted, and the "
                               "pool holds "),
                    HasSubstr("--kv int8"), HasSubstr("--sequences 5 "), HasSubstr("--memory "),
                    HasSubstr("--tensor-parallel 2")));
  EXPECT_THAT(result.err, HasSubstr("10 sequences of 8,192 tokens wanted, room for "));
  std::vector<std::string> fewer = arguments;
  fewer.back() = "1";
  EXPECT_EQ(PlanJson(fewer)["wanted"]["sequences"], 1);
}

TEST_F(PlanCli, DeploymentOptionsReachThePlan) {
  const json one = PlanJson({"--model", llama_, "--memory", "80GiB"});
  const json two = PlanJson({"--model", llama_, "--memory", "80GiB", "--tensor-parallel", "2"});
  EXPECT_LT(two["memory"]["weights_bytes"], one["memory"]["weights_bytes"]);
  EXPECT_EQ(two["capacity"]["block_bytes"], 1048576);
  const json draft = PlanJson(
      {"--model", llama_, "--memory", "80GiB", "--draft-model", llama_, "--lookahead-tokens", "4"});
  EXPECT_GT(draft["memory"]["draft_bytes"], 16060522496);
}

TEST_F(PlanCli, AModelThatDoesNotFitSaysByHowMuchAndWhatWould) {
  const ProgramResult text = Plan({"--model", llama_, "--memory", "16GiB"});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.out,
              AllOf(HasSubstr("8030261248 parameters x 2 bytes"), HasSubstr("Does not fit: "),
                    HasSubstr("--weights int8"), HasSubstr("--memory ")));
  EXPECT_THAT(text.err, AllOf(StartsWith("plimsoll: Llama-3.1-8B: does not fit: "),
                              HasSubstr(" bytes short; try --weights int8\n")));
  const ProgramResult parsed = Plan({"--model", llama_, "--memory", "16GiB", "--format", "json"});
  EXPECT_EQ(parsed.exit_code, 1);
  const json plan = json::parse(parsed.out);
  EXPECT_GT(plan["memory"]["shortfall_bytes"], 0);
  EXPECT_EQ(plan["nearest_fits"][0]["setting"], "--weights int8");
}

TEST_F(PlanCli, WritesToAFileAndSaysWhyWhenItCannot) {
  const std::string file = folder_.File("plan.json");
  const std::vector<std::string> arguments = {"--model",  llama_, "--memory", "80GiB",
                                              "--format", "json", "-o"};
  const auto with = [&](const std::string& path) {
    std::vector<std::string> all = arguments;
    all.push_back(path);
    return Plan(all);
  };
  EXPECT_EQ(with(file).exit_code, 0);
  EXPECT_EQ(json::parse(ReadFile(file))["model"]["layers"], 32);
  const ProgramResult nowhere = with(folder_.File("no/such/folder/plan.json"));
  EXPECT_EQ(nowhere.exit_code, 1);
  EXPECT_THAT(nowhere.err, HasSubstr("plan.json: No such file or directory"));
  const ProgramResult full = with("/dev/full");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_EQ(full.err, "plimsoll: /dev/full: No space left on device\n");
}

TEST_F(PlanCli, BadUsageIsOneLine) {
  ExpectRefused({}, "--model");
  ExpectRefused({"--model", llama_}, "give --gpu NAME or --memory SIZE");
  ExpectRefused({"--model", llama_, "--gpu", "h9000"},
                "gpu=h9000: want one of the 67 that are known, such as h100-80gb");
  ExpectRefused({"--model", llama_, "--memory", "80Gigs"}, "memory=80Gigs: want a size");
  ExpectRefused({"--model", llama_, "--memory", "0"}, "device_bytes=0");
  ExpectRefused({"--model", llama_, "--memory", "80GiB", "--weights", "int3"}, "weights=int3");
  ExpectRefused({"--model", llama_, "--memory", "80GiB", "--kv", "fp64"}, "kv=fp64");
  ExpectRefused({"--model", llama_, "--memory", "80GiB", "--utilization", "1.5"},
                "utilization=1.5");
  ExpectRefused({"--model", llama_, "--memory", "80GiB", "--utilization", "nan"},
                "utilization=nan");
  ExpectRefused({"--model", llama_, "--memory", "80GiB", "--margin", "-1"}, "margin");
  ExpectRefused({"--model", llama_, "--memory", "80GiB", "--block-tokens", "12"},
                "block_tokens=12");
  ExpectRefused({"--model", llama_, "--memory", "80GiB", "--format", "yaml"}, "--format");
  ExpectRefused({"--model", llama_, "--memory", "80GiB", "--nonsense"}, "--nonsense");
  ExpectRefused({"--model", llama_, "--gpu", "h100", "--tensor-parallel", "3"},
                "tensor_parallel=3");
  ExpectRefused({"--model", llama_, "--gpu", "h100", "--tensor-parallel", "-1"},
                "tensor_parallel=-1");
  ExpectRefused({"--model", llama_, "--gpu", "h100", "--pipeline-parallel", "33"},
                "pipeline_parallel=33");
  ExpectRefused({"--model", llama_, "--gpu", "h100", "--expert-parallel", "0"},
                "expert_parallel=0");
  ExpectRefused({"--model", llama_, "--gpu", "h100", "--lookahead-tokens", "-1"},
                "lookahead_tokens=-1");
  ExpectRefused({"--model", llama_, "--gpu", "h100", "--shared-prefix", "-1"}, "shared_prefix=-1");
  ExpectRefused({"--model", llama_, "--gpu", "h100", "--draft-model", "/no/draft"}, "/no/draft");
}

TEST_F(PlanCli, TokenCountsOutOfRangeAreRefused) {
  for (const std::string count : {"0", "-1", "9223372036854775807", "18446744073709551616"}) {
    for (const std::string option : {"--context", "--max-batched-tokens", "--max-sequences"}) {
      ExpectRefused({"--model", llama_, "--memory", "80GiB", option + "=" + count}, "");
    }
  }
}

TEST_F(PlanCli, ABadModelIsNamedWithItsFieldAndValue) {
  const auto refused = [&](const std::string& text, const std::string& why) {
    const std::string file = folder_.Write("bad/config.json", text);
    ExpectRefused({"--model", folder_.File("bad"), "--memory", "80GiB"}, file + ": " + why);
  };
  const std::string good(Published("meta-llama/Llama-3.1-8B").config);
  const auto changed = [&](const std::string& find, const std::string& replace) {
    std::string text = good;
    return text.replace(text.find(find), find.size(), replace);
  };
  ExpectRefused({"--model", "/no/such/model", "--memory", "80GiB"}, "/no/such/model: No such file");
  ExpectRefused({"--model", folder_.path(), "--memory", "80GiB"}, "config.json: No such file");
  refused("", "not JSON at line 1");
  refused(good.substr(0, good.size() / 2), "not JSON");
  refused(std::string(100'000, '['), "nested deeper than 64");
  refused("{\"architectures\": [\"NoSuchForCausalLM\"]}", "unknown architecture NoSuchForCausalLM");
  refused(changed("\"num_hidden_layers\": 32", "\"num_hidden_layers\": 1000000"),
          "num_hidden_layers=1000000: want a whole number from 1 to 100000");
  refused(changed("\"num_hidden_layers\": 32", "\"num_hidden_layers\": 32.5"),
          "num_hidden_layers=32.5");
  refused(changed("\"vocab_size\": 128256", "\"vocab_size\": 18446744073709551616"),
          "vocab_size=1.84");
  refused(changed("\"vocab_size\": 128256", "\"vocab_size\": 1, \"vocab_size\": 2"),
          "duplicate key \"vocab_size\"");
  refused(changed("\"num_key_value_heads\": 8", "\"num_key_value_heads\": 7"),
          "num_key_value_heads=7");
}

TEST_F(PlanCli, ABareInfinityInAFieldThatNobodyNeedsIsAccepted) {
  std::string text(Published("meta-llama/Llama-3.1-8B").config);
  text.insert(1, "\"time_step_limit\": [0.0, Infinity], ");
  const std::string file = folder_.Write("infinite/config.json", text);
  EXPECT_EQ(Plan({"--model", file, "--memory", "80GiB"}).exit_code, 0);
}

TEST_F(PlanCli, HelpNamesEveryOptionAndWhereTheGpusAre) {
  const ProgramResult help = Plan({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* const text : {"--model",
                                 "--gpu",
                                 "--memory",
                                 "--weights",
                                 "--kv",
                                 "--utilization",
                                 "--margin",
                                 "--block-tokens",
                                 "--max-batched-tokens",
                                 "--max-sequences",
                                 "--context",
                                 "--format",
                                 "--output",
                                 "--tensor-parallel",
                                 "--pipeline-parallel",
                                 "--expert-parallel",
                                 "--draft-model",
                                 "--lookahead-tokens",
                                 "--shared-prefix",
                                 "--no-flash-attention",
                                 "--decompress-latent",
                                 "--solve",
                                 "--compare",
                                 "--explain",
                                 "--parameters",
                                 "--sequences",
                                 "--curve",
                                 "plimsoll gpus",
                                 "Examples:"}) {
    EXPECT_THAT(help.out, HasSubstr(text));
  }
}

}  // namespace
}  // namespace plimsoll
