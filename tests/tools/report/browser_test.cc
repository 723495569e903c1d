// The pages as a browser shows them: no error, no network, charts drawn, the numbers of the JSON,
// readable on a phone. Screenshots are left in tests/screenshots of the build.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/kvcache/model/published_models.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/report/browser.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using Arguments = std::vector<std::string>;

class ReportBrowser : public testing::Test {
 protected:
  void SetUp() override {
    if (!Browser::IsInstalled()) GTEST_SKIP() << "chromium or chromedriver is not installed";
    browser_ = std::make_unique<Browser>();
  }

  // The page of `arguments`, opened; its console must stay empty and nothing be fetched.
  void Open(Arguments arguments, int expected_exit = 0) {
    const std::string page = folder_.File("page.html");
    arguments.insert(arguments.begin(), PlimsollProgram());
    arguments.insert(arguments.end(), {"--format", "html", "-o", page});
    const ProgramResult result = RunProgram(arguments);
    ASSERT_EQ(result.exit_code, expected_exit) << result.err;
    OpenFile(page);
  }

  void OpenFile(const std::string& page) {
    browser_->Open(page);
    EXPECT_THAT(browser_->Console(), testing::IsEmpty());
    EXPECT_EQ(browser_->Evaluate("return performance.getEntriesByType('resource').length"), 0);
  }

  // What a function of probes.js says of the page.
  json Probe(const std::string& call) {
    static const std::string kProbes =
        ReadFile(PLIMSOLL_SOURCE_DIR "/tests/tools/report/probes.js");
    return browser_->Evaluate(kProbes + "return " + call);
  }

  static json Json(Arguments arguments) {
    arguments.insert(arguments.begin(), PlimsollProgram());
    arguments.insert(arguments.end(), {"--format", "json"});
    return json::parse(RunProgram(arguments).out);
  }

  std::string Model(const std::string& folder) const {
    folder_.Write(folder + "/config.json", Published("meta-llama/Llama-3.1-8B").config);
    return folder_.File(folder);
  }

  // Draws at the width of a phone and of a desk, light and dark; the page never scrolls sideways.
  void ExpectReadableEverywhere(const std::string& name) {
    for (const int width : {360, 1280}) {
      for (const bool dark : {false, true}) {
        SCOPED_TRACE(testing::Message() << width << (dark ? " dark" : " light"));
        browser_->Show(width, 800, dark);
        EXPECT_LE(browser_->Evaluate("return document.documentElement.scrollWidth"), width);
        EXPECT_EQ(browser_->Evaluate("return innerWidth"), width);
        for (const json& ink : Probe("ink()")) EXPECT_GT(ink, 0.01);
        const std::string folder = std::string(PLIMSOLL_BINARY_DIR) + "/tests/screenshots";
        std::filesystem::create_directories(folder);
        std::ofstream(
            folder + "/" + name + "-" + std::to_string(width) + (dark ? "-dark.png" : ".png"),
            std::ios::binary)
            << browser_->Screenshot();
      }
    }
    EXPECT_THAT(browser_->Console(), testing::IsEmpty());
  }

  // Each term of `plan` stands in the page with its bytes, where a program and where a reader
  // looks.
  void ExpectTermsOf(const json& plan) {
    const json rows = Probe("terms()");
    for (const json& term : plan["formulas"]) {
      EXPECT_THAT(
          rows, testing::Contains(json(
                    {{"term", term["term"]}, {"bytes", term["bytes"]}, {"seen", term["bytes"]}})));
    }
  }

  TempDir folder_;
  std::string llama_ = Model("Llama-3.1-8B");
  std::unique_ptr<Browser> browser_;
};

TEST_F(ReportBrowser, ThePlanShowsTheNumbersOfTheJson) {
  const Arguments arguments = {"plan", "--model", llama_, "--gpu", "h100"};
  ASSERT_NO_FATAL_FAILURE(Open(arguments));
  const json plan = Json(arguments);
  ExpectTermsOf(plan);
  json held = plan["capacity"]["max_sequences"];
  for (json& row : held) row.erase("sequences_grouped");
  EXPECT_EQ(Probe("sequences()"), held);
  const double weights = plan["memory"]["weights_bytes"].get<double>();
  EXPECT_NEAR(Probe("weightsDrawn()").get<double>() / weights, 1, 0.15);
  ExpectReadableEverywhere("plan");
}

TEST_F(ReportBrowser, TheFrontierOfASweepIsDrawnAndHasATable) {
  const std::string page = folder_.File("sweep.html");
  const std::string trace = std::string(PLIMSOLL_SOURCE_DIR) + "/tools/samples/chat.jsonl";
  const ProgramResult result =
      RunProgram({PlimsollProgram(), "replay", "--trace", trace, "--simulate", "--backlog",
                  "--blocks", "2000", "--sweep", page, "--format", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  OpenFile(page);
  const json rows = json::parse(result.out)["rows"];
  const json seen = browser_->Evaluate(
      "return [...document.querySelectorAll('#settings tbody tr')].map((row) =>"
      " ({name: row.cells[0].textContent, running: Number(row.cells[1].textContent)}))");
  ASSERT_EQ(seen.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(seen[i]["name"],
              rows[i]["policy"].get<std::string>() + ", " + rows[i]["setting"].get<std::string>());
    EXPECT_NEAR(seen[i]["running"], rows[i]["mean_sequences"], 0.001);
  }
  ExpectReadableEverywhere("sweep");
}

TEST_F(ReportBrowser, AMisfitSaysWhatWouldFit) {
  const Arguments arguments = {"plan", "--model", llama_, "--memory", "16GiB"};
  ASSERT_NO_FATAL_FAILURE(Open(arguments, /*expected_exit=*/1));
  const json plan = Json(arguments);
  const std::string seen = browser_->Evaluate("return document.body.innerText");
  EXPECT_THAT(seen, testing::HasSubstr("Does not fit"));
  for (const json& fit : plan["nearest_fits"]) {
    EXPECT_THAT(seen, testing::HasSubstr(fit["setting"].get<std::string>()));
  }
  ExpectReadableEverywhere("misfit");
}

TEST_F(ReportBrowser, TheTrainingPlanShowsTheNumbersOfTheJson) {
  const Arguments arguments = {
      "plan-training", "--model", llama_,   "--method", "mixed",  "--batch", "2",
      "--sequence",    "4096",    "--zero", "3",        "--gpus", "8",       "--offload",
      "cpu",           "--gpu",   "h100"};
  ASSERT_NO_FATAL_FAILURE(Open(arguments));
  const json plan = Json(arguments);
  const json rows = Probe("terms()");
  for (const json& term : plan["formulas"]) {
    const std::string group = term["group"];
    const bool elsewhere = group == "host" || group == "nvme";
    const std::string name = (elsewhere ? group + ": " : "") + term["term"].get<std::string>();
    EXPECT_THAT(rows, testing::Contains(json(
                          {{"term", name}, {"bytes", term["bytes"]}, {"seen", term["bytes"]}})));
  }
  EXPECT_EQ(browser_->Evaluate("return document.querySelectorAll('canvas').length"), 4);
  ExpectReadableEverywhere("training");
}

TEST_F(ReportBrowser, ANameIsNeverMarkup) {
  const std::string name = "<img src=x onerror=window.owned=1><script>window.owned=1<!-- & \"'";
  ASSERT_NO_FATAL_FAILURE(Open({"plan", "--model", Model(name), "--gpu", "h100"}));
  EXPECT_EQ(browser_->Evaluate("return document.querySelector('h1').textContent"), name);
  EXPECT_EQ(browser_->Evaluate("return window.owned === undefined"), true);
  EXPECT_EQ(browser_->Evaluate("return document.images.length"), 0);
}

TEST_F(ReportBrowser, ChartsAreRedrawnForPaperAndForTheDark) {
  ASSERT_NO_FATAL_FAILURE(Open({"plan", "--model", llama_, "--gpu", "h100"}));
  const std::string colour = "return getComputedStyle(document.body).backgroundColor";
  browser_->Show(1280, 800, /*dark=*/true);
  const json dark = browser_->Evaluate(colour);
  browser_->Evaluate("dispatchEvent(new Event('beforeprint'))");
  const json paper = browser_->Evaluate(colour);
  EXPECT_NE(dark, paper);
  browser_->Evaluate("dispatchEvent(new Event('afterprint'))");
  EXPECT_EQ(browser_->Evaluate(colour), dark);
  for (const json& ink : Probe("ink()")) EXPECT_GT(ink, 0.01);
}

}  // namespace
}  // namespace plimsoll
