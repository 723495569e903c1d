// What a plan costs: the function for a model once read, reading one, and the whole command.
//
// Answers are compared with published counts before anything is timed. Beside reading stands the
// JSON parser alone, beside the command the same program that only prints its version: neither can
// be faster than that.
#include <benchmark/benchmark.h>

#include <nlohmann/json.hpp>
#include <string>

#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/training_plan.h"
#include "tests/kvcache/model/other_published_models.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

constexpr const char* kModels[] = {"meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-V3",
                                   "google/gemma-2-9b", "openai/gpt-oss-120b",
                                   "ai21labs/Jamba-v0.1"};

const PublishedModel& ModelOf(benchmark::State& state) {
  const PublishedModel& model = PublishedInEither(kModels[state.range(0)]);
  state.SetLabel(std::string(model.name));
  return model;
}

absl::StatusOr<ModelConfig> Read(const PublishedModel& model) {
  return ParseModelConfig(model.config, std::string(model.name));
}

void BM_PlanInference(benchmark::State& state) {
  const PublishedModel& published = ModelOf(state);
  const absl::StatusOr<ModelConfig> model = Read(published);
  const InferenceOptions options{.device_bytes = Bytes(int64_t{2} << 40)};
  const absl::StatusOr<InferencePlan> plan = PlanInference(*model, options);
  if (!plan.ok() || plan->parameters != published.parameters || !plan->fits()) {
    return state.SkipWithError("the plan is not that of the published model");
  }
  for (auto _ : state) benchmark::DoNotOptimize(PlanInference(*model, options));
}
BENCHMARK(BM_PlanInference)->DenseRange(0, 4)->Unit(benchmark::kMicrosecond);

void BM_PlanTraining(benchmark::State& state) {
  const PublishedModel& published = ModelOf(state);
  const absl::StatusOr<ModelConfig> model = Read(published);
  const TrainingOptions options{
      .method = TrainingMethod::kMixed, .batch = 1, .sequence = Tokens(4096)};
  const absl::StatusOr<TrainingPlan> plan = PlanTraining(*model, options);
  if (!plan.ok() || plan->parameters != published.parameters) {
    return state.SkipWithError("the plan is not that of the published model");
  }
  for (auto _ : state) benchmark::DoNotOptimize(PlanTraining(*model, options));
}
BENCHMARK(BM_PlanTraining)->DenseRange(0, 4)->Unit(benchmark::kMicrosecond);

void BM_ReadConfig(benchmark::State& state) {
  const PublishedModel& model = ModelOf(state);
  if (!Read(model).ok()) return state.SkipWithError("the configuration is not read");
  for (auto _ : state) benchmark::DoNotOptimize(Read(model));
}
BENCHMARK(BM_ReadConfig)->DenseRange(0, 4)->Unit(benchmark::kMicrosecond);

void BM_ReadConfigJsonAlone(benchmark::State& state) {
  const PublishedModel& model = ModelOf(state);
  for (auto _ : state) benchmark::DoNotOptimize(nlohmann::json::parse(model.config));
}
BENCHMARK(BM_ReadConfigJsonAlone)->DenseRange(0, 4)->Unit(benchmark::kMicrosecond);

void BM_Command(benchmark::State& state) {
  const PublishedModel& model = ModelOf(state);
  const TempDir folder;
  const std::string path = folder.Write("config.json", model.config);
  const std::vector<std::string> command = {PlimsollProgram(), "plan", "--model",  path,
                                            "--memory",        "2TiB", "--format", "json"};
  const ProgramResult result = RunProgram(command);
  const auto plan = nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  if (plan.is_discarded() || plan["model"]["parameters"] != model.parameters) {
    return state.SkipWithError("the command does not print the published model's plan");
  }
  for (auto _ : state) benchmark::DoNotOptimize(RunProgram(command));
}
BENCHMARK(BM_Command)->DenseRange(0, 4)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_CommandAlone(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(RunProgram({PlimsollProgram(), "--version"}));
}
BENCHMARK(BM_CommandAlone)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace plimsoll
