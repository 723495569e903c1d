// `plimsoll plan` as a person runs it: real process, real files, exit codes and single lines.
#pragma once

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

class PlanCli : public testing::Test {
 protected:
  ProgramResult Plan(const std::vector<std::string>& arguments) const {
    std::vector<std::string> argv = {PlimsollProgram(), "plan"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return RunProgram(argv);
  }

  // What it prints as JSON; it must succeed.
  nlohmann::json PlanJson(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--format", "json"});
    const ProgramResult result = Plan(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out.empty() ? nlohmann::json() : nlohmann::json::parse(result.out);
  }

  // The eight figures that make up the budget of a plan that fits.
  static int64_t SumOfMemory(const nlohmann::json& plan) {
    int64_t sum = 0;
    for (const char* const part :
         {"weights_bytes", "draft_bytes", "io_bytes", "activation_bytes", "runtime_bytes",
          "margin_bytes", "kv_pool_bytes", "unused_bytes"}) {
      sum += plan["memory"][part].get<int64_t>();
    }
    return sum;
  }

  // The configuration of a published model in a folder of that name.
  std::string Model(std::string_view name) const {
    folder_.Write(std::string(name) + "/config.json", Published(name).config);
    return folder_.File(name);
  }

  // One line on standard error, nothing on standard output, exit code 2.
  void ExpectRefused(const std::vector<std::string>& arguments, const std::string& why) const {
    const ProgramResult result = Plan(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err,
                testing::AllOf(testing::StartsWith("plimsoll: "), testing::HasSubstr(why)));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  TempDir folder_;
  std::string llama_ = Model("meta-llama/Llama-3.1-8B");
};

}  // namespace plimsoll
