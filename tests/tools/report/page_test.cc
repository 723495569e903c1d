// Pages as text: what stands in them, and that they stand alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/published_models.h"
#include "tools/report/plan_page.h"
#include "tools/report/training_page.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;
using testing::Not;

ModelConfig Llama(const std::string& name) {
  auto model = ParseModelConfig(Published("meta-llama/Llama-3.1-8B").config, name);
  PLIMSOLL_CHECK(model.ok(), model.status());
  model->name = name;
  return *model;
}

std::string PlanPage(const std::string& name, InferenceOptions options) {
  const ModelConfig model = Llama(name);
  const auto plan = PlanInference(model, options);
  PLIMSOLL_CHECK(plan.ok(), plan.status());
  const auto curves = CapacityCurves(model, options);
  PLIMSOLL_CHECK(curves.ok(), curves.status());
  return PlanAsHtml(*plan, plan->fits() ? std::vector<FitSetting>() : NearestFits(model, options),
                    *curves);
}

std::string TrainingPage(const std::string& name, const TrainingOptions& options) {
  const ModelConfig model = Llama(name);
  const auto plan = PlanTraining(model, options);
  PLIMSOLL_CHECK(plan.ok(), plan.status());
  const auto curves = TrainingCurvesOf(model, options);
  PLIMSOLL_CHECK(curves.ok(), curves.status());
  return TrainingAsHtml(
      *plan, plan->fits() ? std::vector<TrainingFit>() : TrainingFits(model, options), *curves);
}

const InferenceOptions kOn80GiB = {.device_bytes = Bytes(int64_t{80} << 30)};

// What is left of a page without its scripts and style.
std::string Content(const std::string& page) {
  std::string content;
  size_t from = 0;
  for (size_t at = page.find("<s"); at != std::string::npos; at = page.find("<s", from)) {
    const bool script = page.compare(at, 7, "<script") == 0;
    if (!script && page.compare(at, 6, "<style") != 0) {
      content += page.substr(from, at + 2 - from);
      from = at + 2;
      continue;
    }
    content += page.substr(from, at - from);
    const std::string end = script ? "</script>" : "</style>";
    from = page.find(end, at) + end.size();
  }
  return content + page.substr(from);
}

TEST(PlanPage, AnswersInOneSentence) {
  const std::string page = PlanPage("Llama-3.1-8B", kOn80GiB);
  EXPECT_THAT(page, HasSubstr("<p class=\"answer\">Fits 3 sequences of 131,072 tokens, or "));
  EXPECT_THAT(page, HasSubstr("<title>Llama-3.1-8B: Fits 3 sequences"));
}

TEST(PlanPage, OneContextMakesOneAnswer) {
  InferenceOptions options = kOn80GiB;
  options.contexts = {Tokens(131072)};
  const std::string page = PlanPage("m", options);
  EXPECT_THAT(page, HasSubstr("Fits 3 sequences of 131,072 tokens."));
  EXPECT_THAT(Content(page), Not(HasSubstr("id=\"capacity\"")));  // a point is no curve
}

TEST(PlanPage, AMisfitIsRedAndSaysWhatWouldFit) {
  const std::string page = PlanPage("m", {.device_bytes = Bytes(int64_t{16} << 30)});
  EXPECT_THAT(page, HasSubstr("<p class=\"answer bad\">Does not fit: "));
  EXPECT_THAT(page, HasSubstr("<code>--weights int8</code>"));
  EXPECT_THAT(page, HasSubstr("<tr class=\"bad-row\" data-term=\"short\""));
}

TEST(PlanPage, HoldsEveryTermWithItsBytes) {
  const std::string page = PlanPage("m", kOn80GiB);
  const auto plan = PlanInference(Llama("m"), kOn80GiB);
  ASSERT_TRUE(plan.ok());
  for (const PlanTerm& term : plan->formulas) {
    EXPECT_THAT(page, HasSubstr("data-term=\"" + term.term + "\" data-bytes=\"" +
                                std::to_string(term.bytes.value()) + "\""));
  }
}

TEST(TrainingPage, SaysHowManyGpusItTakes) {
  TrainingOptions options{.method = TrainingMethod::kMixed, .batch = 1, .sequence = Tokens(1024)};
  EXPECT_THAT(TrainingPage("m", options), HasSubstr("<p class=\"answer\">Training takes "));
  options.device_bytes = Bytes(int64_t{80} << 30);
  const std::string page = TrainingPage("m", options);
  EXPECT_THAT(page, HasSubstr("<p class=\"answer bad\">Does not fit: "));
  EXPECT_THAT(page, HasSubstr("it takes at least "));
  for (const char* const id : {"memory", "zero", "over-sequence", "over-batch"}) {
    EXPECT_THAT(page, HasSubstr("<canvas id=\"" + std::string(id) + "\" role=\"img\" aria-label="));
  }
}

TEST(Pages, TheSameInputGivesTheSameBytes) {
  EXPECT_EQ(PlanPage("m", kOn80GiB), PlanPage("m", kOn80GiB));
}

TEST(Pages, LoadNothingFromElsewhere) {
  const TrainingOptions training{
      .method = TrainingMethod::kQlora, .batch = 1, .sequence = Tokens(1024)};
  for (const std::string& page : {PlanPage("m", kOn80GiB), TrainingPage("m", training)}) {
    EXPECT_THAT(page, HasSubstr("default-src 'none'"));
    const std::string content = Content(page);
    for (const char* const text : {"http:", "https:", " src=", "@import", "url("}) {
      EXPECT_THAT(content, Not(HasSubstr(text)));
    }
    EXPECT_THAT(content, HasSubstr("href=\"data:,\""));
  }
}

TEST(Pages, ANameIsNeverMarkup) {
  const std::string name = "</title><script>x</script><img src=x onerror=y>\"'&";
  const TrainingOptions training{
      .method = TrainingMethod::kMixed, .batch = 1, .sequence = Tokens(1024)};
  for (const std::string& page : {PlanPage(name, kOn80GiB), TrainingPage(name, training)}) {
    EXPECT_THAT(page, HasSubstr("<h1>&lt;/title&gt;&lt;script&gt;x&lt;/script&gt;&lt;img src=x "
                                "onerror=y&gt;&quot;&#39;&amp;</h1>"));
    EXPECT_THAT(page, Not(HasSubstr("<script>x")));
    EXPECT_THAT(page, Not(HasSubstr("<img")));
  }
}

TEST(Pages, EveryTableHasACaptionAndNamedRowsAndColumns) {
  const std::string page = PlanPage("m", kOn80GiB);
  const auto count = [&](const std::string& text) {
    size_t found = 0;
    for (size_t at = page.find(text); at != std::string::npos; at = page.find(text, at + 1)) {
      ++found;
    }
    return found;
  };
  EXPECT_EQ(count("<table"), 2u);
  EXPECT_EQ(count("<table"), count("<caption>"));
  EXPECT_EQ(count("<tr"), count("<th scope=\"row\"") + count("<thead><tr>"));
}

}  // namespace
}  // namespace plimsoll
