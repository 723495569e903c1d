// What holds for every plan, tried with random models and options.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "kvcache/sizing/block_demand.h"
#include "kvcache/sizing/inference_plan.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

class Dice {
 public:
  explicit Dice(int seed) : random_(static_cast<uint64_t>(seed)) {}
  int64_t Between(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random_);
  }
  // Spread over magnitudes.
  int64_t UpTo(int64_t most) { return Between(1, std::max<int64_t>(most >> Between(0, 20), 1)); }

 private:
  std::mt19937_64 random_;
};

InferenceOptions RandomOptions(Dice& dice) {
  InferenceOptions options{.device_bytes = Bytes(dice.UpTo(int64_t{1} << 43) + (1 << 20))};
  options.utilization = static_cast<double>(dice.Between(1, 1000)) / 1000.0;
  options.margin = Bytes(dice.Between(0, 1) * dice.UpTo(int64_t{1} << 32));
  options.weights = static_cast<ElementType>(dice.Between(0, 6));
  options.kv = static_cast<ElementType>(dice.Between(0, 6));
  options.block_tokens = Tokens(int64_t{1} << dice.Between(0, 10));
  options.max_batched_tokens = Tokens(dice.UpTo(1 << 16));
  options.max_sequences = dice.UpTo(1 << 12);
  options.runtime = Bytes(dice.Between(0, 1) * dice.UpTo(int64_t{1} << 30));
  return options;
}

Bytes Terms(const InferencePlan& plan) {
  return plan.weights_bytes + plan.draft_bytes + plan.io_bytes + plan.activation_bytes +
         plan.runtime_bytes + plan.margin_bytes;
}

bool KeepsTokens(const InferencePlan& plan) { return plan.kv_bytes_per_token > Bytes(0); }

Bytes StateBesideBlocks(const InferencePlan& plan) {
  return KeepsTokens(plan) ? plan.state_bytes_per_sequence : Bytes(0);
}

// One block and the state of one sequence.
Bytes Least(const InferencePlan& plan) { return plan.block_bytes + StateBesideBlocks(plan); }

void ExpectSumsHold(const InferencePlan& plan, const InferenceOptions& options) {
  const double product = static_cast<double>(options.device_bytes.value()) * options.utilization;
  EXPECT_EQ(plan.budget_bytes, Bytes(static_cast<int64_t>(product)));
  EXPECT_EQ(plan.kv_pool_bytes, plan.block_bytes * plan.blocks.value());
  if (plan.fits()) {
    EXPECT_LT(plan.unused_bytes, plan.block_bytes);
    EXPECT_EQ(Terms(plan) + plan.kv_pool_bytes + plan.unused_bytes, plan.budget_bytes);
    EXPECT_GE(plan.blocks, Blocks(1));
  } else {
    EXPECT_EQ(plan.budget_bytes + plan.shortfall_bytes, Terms(plan) + Least(plan));
    EXPECT_EQ(plan.blocks, Blocks(0));
  }
  Bytes formulas(0);
  for (const PlanTerm& term : plan.formulas) formulas += term.bytes;
  EXPECT_EQ(formulas + plan.margin_bytes, Terms(plan) + plan.kv_pool_bytes);
}

// One more sequence than promised does not fit, and as many as promised do.
void ExpectSequencesFitExactly(const InferencePlan& plan) {
  for (const ContextCapacity& row : plan.max_sequences) {
    const Blocks blocks = BlocksForSequence(row.context, plan.block_tokens);
    const Bytes each = KeepsTokens(plan)
                           ? plan.block_bytes * blocks.value() + StateBesideBlocks(plan)
                           : plan.block_bytes;
    EXPECT_LE(each * row.sequences, plan.kv_pool_bytes);
    EXPECT_GT(each * (row.sequences + 1), plan.kv_pool_bytes);
    EXPECT_TRUE(row.sequences == 0 || row.context <= plan.tokens);
  }
}

class PlanProperties : public testing::Test {
 protected:
  const int seed_ = testing::UnitTest::GetInstance()->random_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__,
                              "rerun with --gtest_random_seed=" + std::to_string(seed_)};
  Dice dice_{seed_};

  ModelConfig AnyModel() {
    const int64_t first = std::ssize(kPublishedModels);
    const int64_t all = first + std::ssize(kOtherPublishedModels);
    const int64_t row = dice_.Between(0, all - 1);
    if (row < first) return ModelNamed(kPublishedModels[static_cast<size_t>(row)].name);
    return OtherModelNamed(kOtherPublishedModels[static_cast<size_t>(row - first)].name);
  }
};

TEST_F(PlanProperties, TermsAddUpToTheBudgetExactly) {
  int fitting = 0;
  for (int round = 0; round < 2000; ++round) {
    const ModelConfig model = AnyModel();
    const InferenceOptions options = RandomOptions(dice_);
    const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    ExpectSumsHold(*plan, options);
    ExpectSequencesFitExactly(*plan);
    fitting += plan->fits() ? 1 : 0;
  }
  EXPECT_GT(fitting, 100) << "the dice should give both kinds";
  EXPECT_LT(fitting, 1900) << "the dice should give both kinds";
}

TEST_F(PlanProperties, MoreMemoryNeverMeansLessCapacity) {
  for (int round = 0; round < 300; ++round) {
    const ModelConfig model = AnyModel();
    InferenceOptions options = RandomOptions(dice_);
    Blocks last(0);
    for (int step = 0; step < 8; ++step) {
      const InferencePlan plan = *PlanInference(model, options);
      EXPECT_GE(plan.blocks, last);
      last = plan.blocks;
      options.device_bytes += Bytes(dice_.UpTo(int64_t{1} << 38));
    }
  }
}

TEST_F(PlanProperties, MoreOfAnythingElseNeverMeansMoreCapacity) {
  for (int round = 0; round < 300; ++round) {
    const ModelConfig model = AnyModel();
    const InferenceOptions options = RandomOptions(dice_);
    const Blocks before = PlanInference(model, options)->blocks;
    InferenceOptions margin = options, step = options, rows = options, runtime = options;
    margin.margin += Bytes(dice_.UpTo(int64_t{1} << 34));
    step.max_batched_tokens += Tokens(dice_.UpTo(1 << 16));
    rows.max_sequences += dice_.UpTo(1 << 12);
    runtime.runtime += Bytes(dice_.UpTo(int64_t{1} << 34));
    for (const InferenceOptions& larger : {margin, step, rows, runtime}) {
      EXPECT_LE(PlanInference(model, larger)->blocks, before);
    }
  }
}

TEST_F(PlanProperties, LongerContextsNeverFitMoreSequences) {
  for (int round = 0; round < 300; ++round) {
    const InferencePlan plan = *PlanInference(AnyModel(), RandomOptions(dice_));
    for (size_t i = 1; i < plan.max_sequences.size(); ++i) {
      EXPECT_LE(plan.max_sequences[i].sequences, plan.max_sequences[i - 1].sequences);
    }
  }
}

}  // namespace
}  // namespace plimsoll
