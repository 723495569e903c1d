// Backlogs of real traces, decoded step by step: published figures, and policies beside each other.
#include <cstdlib>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/tools/step_replays.h"

namespace plimsoll {
namespace {

// The rows of published and independently simulated backlogs: the first 6000 requests within a
// context.
std::vector<TraceRequest> PublishedRow(const char* folder, const std::vector<std::string>& files,
                                       int64_t context) {
  std::vector<std::string> paths;
  for (const std::string& file : files) paths.push_back(std::string(folder) + "/" + file);
  const auto trace = ReadTraces(paths, std::nullopt, {.longest = Tokens(context), .limit = 6000});
  PLIMSOLL_CHECK(trace.ok(), trace.status().message());
  return *trace;
}

constexpr const char kConversation[] = "azure_2023_conv.csv";
constexpr const char kCode[] = "azure_2023_code.csv";

TEST(StepSimulationOnTraces, AveragesAreAsPublished) {
  const char* const folder = std::getenv("PLIMSOLL_TRACES");
  if (folder == nullptr) GTEST_SKIP() << "set PLIMSOLL_TRACES to a folder with the public traces";
  const std::vector<TraceRequest> trace = PublishedRow(folder, {kConversation}, 2048);
  StepOptions options = Pool(981, 16, {.policy = Policy::kNeverEvict});
  options.context = Tokens(2048);
  options.backlog = true;
  options.declared = {DeclaredLength::Rule::kContext};
  const ReplayReport most = Replayed(trace, options);
  EXPECT_NEAR(most.mean_sequences, 7.00, 0.005);
  EXPECT_NEAR(most.steps->pool_fraction, 0.513, 0.0005);
  const auto with = [&](double watermark) {
    options.policy = {.policy = Policy::kWatermark, .watermark = watermark};
    return Replayed(trace, options);
  };
  EXPECT_NEAR(with(0.01).mean_sequences, 13.08, 0.005);
  EXPECT_NEAR(with(0.01).steps->pool_fraction, 0.959, 0.0005);
  EXPECT_NEAR(with(0.05).mean_sequences, 12.66, 0.005);
  EXPECT_EQ(with(0.05).preempted, 102) << "1.70 of 100";
  EXPECT_NEAR(with(0.10).mean_sequences, 12.01, 0.005);
  EXPECT_EQ(with(0.10).preempted, 5) << "0.08 of 100";
}

struct PublishedPool {
  std::vector<std::string> files;
  int64_t context, blocks;
  // The constant watermark, in blocks, that runs most of those with as few preemptions as the
  // quantile policy has: found by trying every block in the small pools, every tenth to thirtieth
  // in the large ones.
  int64_t best_watermark;
};

ReplayReport BacklogOf(const char* folder, const PublishedPool& pool, const PolicyOptions& policy,
                       StepFigures* warm = nullptr) {
  StepOptions options = Pool(pool.blocks, 16, policy);
  options.context = Tokens(pool.context);
  options.backlog = true;
  if (warm != nullptr) {
    options.on_step = [warm](const KvCache&, const StepFigures& figures) {
      if (figures.decisions <= 1000) *warm = figures;
    };
  }
  return Replayed(PublishedRow(folder, pool.files, pool.context), options);
}

ReplayReport UnderWatermark(const char* folder, const PublishedPool& pool, int64_t blocks) {
  return BacklogOf(
      folder, pool,
      {.policy = Policy::kWatermark,
       .watermark = (static_cast<double>(blocks) + 0.01) / static_cast<double>(pool.blocks)});
}

// The same settings everywhere.
constexpr PolicyOptions kQuantile{.policy = Policy::kQuantile, .overflow_goal = 0.01};

TEST(StepSimulationOnTraces, TheQuantilePolicyHoldsItsGoalAndRunsAsManyAsTheBestWatermark) {
  const char* const folder = std::getenv("PLIMSOLL_TRACES");
  if (folder == nullptr) GTEST_SKIP() << "set PLIMSOLL_TRACES to a folder with the public traces";
  const std::string arxiv = "vidur_arxiv_summarization_lengths.csv";
  const std::string mooncake = "mooncake_conversation_trace.jsonl";
  const PublishedPool pools[] = {
      {{kConversation}, 2048, 981, 68},     {{kCode}, 8192, 3756, 5},
      {{kConversation}, 16384, 30625, 265}, {{arxiv}, 4096, 30625, 70},
      {{mooncake}, 131072, 30625, 60},      {{mooncake}, 131072, 122500, 90}};
  for (const PublishedPool& pool : pools) {
    SCOPED_TRACE(pool.files.front() + " " + std::to_string(pool.blocks));
    StepFigures warm;
    const ReplayReport ours = BacklogOf(folder, pool, kQuantile, &warm);
    EXPECT_LE(static_cast<double>(ours.steps->overflows - warm.overflows),
              0.01 * static_cast<double>(ours.steps->decisions - warm.decisions));
    EXPECT_LE(ours.preempted, ours.requests * 2 / 100);
    const ReplayReport best = UnderWatermark(folder, pool, pool.best_watermark);
    EXPECT_LE(best.preempted, ours.preempted);
    EXPECT_GE(ours.mean_sequences, 0.98 * best.mean_sequences);
  }
}

// No constant watermark runs as many with as few preemptions; those tried here come nearest.
TEST(StepSimulationOnTraces, WhereTheLoadChangesTheQuantilePolicyBeatsEveryWatermark) {
  const char* const folder = std::getenv("PLIMSOLL_TRACES");
  if (folder == nullptr) GTEST_SKIP() << "set PLIMSOLL_TRACES to a folder with the public traces";
  const std::vector<std::string> files = {kConversation, kCode, kConversation};
  for (const PublishedPool& pool :
       {PublishedPool{files, 2048, 981, 63}, PublishedPool{files, 8192, 3756, 65}}) {
    SCOPED_TRACE(pool.blocks);
    StepFigures warm;
    const ReplayReport ours = BacklogOf(folder, pool, kQuantile, &warm);
    EXPECT_LE(static_cast<double>(ours.steps->overflows - warm.overflows),
              0.01 * static_cast<double>(ours.steps->decisions - warm.decisions));
    EXPECT_LE(ours.preempted, ours.requests * 2 / 100);
    for (const int64_t fewer : {0, 3, 6}) {
      const ReplayReport other = UnderWatermark(folder, pool, pool.best_watermark - fewer);
      EXPECT_TRUE(other.mean_sequences < ours.mean_sequences || other.preempted > ours.preempted)
          << fewer << " fewer: " << other.mean_sequences << ", " << other.preempted;
    }
  }
}

}  // namespace
}  // namespace plimsoll
