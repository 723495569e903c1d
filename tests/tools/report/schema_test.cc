// Every kind of output of both plans against the schema that the command prints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/kvcache/model/published_files.h"
#include "tests/kvcache/model/published_models.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using Arguments = std::vector<std::string>;

class Schema : public testing::Test {
 protected:
  std::string Model(std::string_view name) const {
    models_.Write(std::string(name) + "/config.json", Published(name).config);
    return models_.File(name);
  }

  // What `command` prints with `arguments`, among the files to be checked.
  void Add(const std::string& command, const Arguments& arguments) {
    Arguments argv = {PlimsollProgram(), command};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.insert(argv.end(), {"--format", "json"});
    const ProgramResult result = RunProgram(argv);
    EXPECT_TRUE(result.exit_code == 0 || result.exit_code == 1) << result.err;
    std::string name = command;
    for (const std::string& argument : arguments) {
      name += argument.starts_with('/') ? "" : " " + argument;
    }
    outputs_.Write(name + ".json", result.out);
  }

  void ExpectAllAreAsTheSchemaOf(const std::string& command) {
    outputs_.Write("schema.json", RunProgram({PlimsollProgram(), command, "--schema"}).out);
    const ProgramResult checked =
        RunProgram({PLIMSOLL_PYTHON, PLIMSOLL_SOURCE_DIR "/tests/tools/report/check_schema.py",
                    outputs_.path()});
    if (checked.exit_code == 77) GTEST_SKIP() << checked.out;
    EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err;
  }

  TempDir models_, outputs_;
  std::string llama_ = Model("meta-llama/Llama-3.1-8B");
};

TEST_F(Schema, DescribesEveryPlan) {
  const auto plan = [&](const Arguments& more) {
    Arguments arguments = {"--model", llama_, "--gpu", "h100"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Add("plan", arguments);
  };
  plan({});
  plan({"--weights", "int4", "--kv", "fp8", "--margin", "1GiB", "--context", "4096", "100"});
  plan({"--tensor-parallel", "2", "--pipeline-parallel", "2"});
  plan({"--draft-model", Model("Qwen/Qwen3-0.6B"), "--lookahead-tokens", "4"});
  plan({"--shared-prefix", "512"});
  plan({"--curve"});
  plan({"--sequences", "8", "--context", "8192"});
  plan({"--sequences", "100000", "--context", "8192"});
  for (const char* const what : {"sequences", "context", "gpus", "weights", "kv"}) {
    plan({"--solve", what});
    plan({"--solve", what, "--sequences", "4", "--context", "65536"});
  }
  Add("plan", {"--model", llama_, "--solve", "gpus", "--sequences", "64"});
  Add("plan", {"--model", llama_, "--memory", "16GiB"});
  plan({"--compare", "weights=int4", "kv=fp8"});
  for (const char* const term : {"weights", "kv", "activations", "budget", "blocks", "sequences"}) {
    plan({"--explain", term});
  }
  Add("plan", {"--parameters", "13B"});
  Add("plan", {"--parameters", "70e9", "--weights", "int4"});
  ExpectAllAreAsTheSchemaOf("plan");
}

TEST_F(Schema, DescribesThePlanOfEveryKindOfModel) {
  for (const PublishedModel& model : kPublishedModels) {
    Add("plan", {"--gpu", "h200", "--model", Model(model.name)});
    std::filesystem::rename(
        outputs_.File("plan --gpu h200 --model.json"),
        outputs_.File(std::to_string(&model - kPublishedModels.data()) + ".json"));
  }
  for (const PublishedFile& file : kPublishedFiles) {
    const std::string path = models_.Write("file/config.json", file.model.config);
    Add("plan", {"--gpu", "h200", "--context", "1000", "--model", path});
    std::filesystem::rename(
        outputs_.File("plan --gpu h200 --context 1000 --model.json"),
        outputs_.File("file" + std::to_string(&file - kPublishedFiles.data()) + ".json"));
  }
  ExpectAllAreAsTheSchemaOf("plan");
}

TEST_F(Schema, DescribesEveryTrainingPlan) {
  const auto train = [&](const std::string& method, const Arguments& more) {
    Arguments arguments = {"--model", llama_, "--method",   method,
                           "--batch", "1",    "--sequence", "2048"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Add("plan-training", arguments);
  };
  for (const char* const method : {"full-fp32", "mixed", "mixed-fp32-grads", "mixed-both-grads",
                                   "bf16", "adam8bit", "bf16-adam8bit", "sgd", "lora", "qlora"}) {
    train(method, {"--gpu", "h100"});
  }
  train("mixed", {});
  train("mixed", {"--curve"});
  train("mixed", {"--memory", "8GiB"});
  train("mixed", {"--memory", "1GiB", "--zero", "3", "--gpus", "2"});
  train("mixed", {"--zero", "3", "--gpus", "8", "--offload", "cpu"});
  train("mixed", {"--zero", "3", "--gpus", "8", "--offload", "nvme", "--gpu", "h100"});
  train("mixed", {"--gpus", "8", "--tensor-parallel", "8", "--sequence-parallel"});
  train("mixed", {"--gpus", "8", "--pipeline-parallel", "4", "--recompute", "full"});
  train("mixed", {"--activation-formula", "classic", "--recompute", "selective"});
  train("mixed", {"--compare", "method=qlora", "zero=3,gpus=8"});
  for (const char* const term : {"weights", "total", "moments", "queries"}) {
    train("mixed", {"--explain", term});
  }
  Add("plan-training", {"--parameters", "13B", "--method", "mixed", "--batch", "1", "--sequence",
                        "1024", "--memory", "80GB", "--curve"});
  ExpectAllAreAsTheSchemaOf("plan-training");
}

TEST_F(Schema, IsPrintedAsItIsInstalled) {
  for (const std::string command : {"plan", "plan-training"}) {
    const ProgramResult result = RunProgram({PlimsollProgram(), command, "--schema"});
    EXPECT_EQ(result.exit_code, 0);
    const std::string file =
        ReadFile(std::string(PLIMSOLL_SOURCE_DIR) + "/tools/schema/plan.schema.json");
    EXPECT_EQ(json::parse(result.out), json::parse(file));
  }
}

}  // namespace
}  // namespace plimsoll
