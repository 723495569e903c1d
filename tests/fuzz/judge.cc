#include "tests/fuzz/judge.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "kvcache/base/check.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/training_plan.h"
#include "kvcache/sizing/weight_format.h"

namespace plimsoll {
namespace {

constexpr int64_t kMostParameters = int64_t{1} << 50;
constexpr size_t kLongestMessage = 2000;
constexpr std::array kFormats = {"", "fp32", "int8", "int4", "nf4", "fp8-block", "gptq-g128"};

void JudgePlan(const InferencePlan& plan) {
  const Bytes terms = plan.weights_bytes + plan.draft_bytes + plan.io_bytes +
                      plan.activation_bytes + plan.runtime_bytes + plan.margin_bytes;
  const Bytes all = terms + plan.kv_pool_bytes + plan.unused_bytes;
  if (plan.fits()) PLIMSOLL_CHECK(all == plan.budget_bytes, all, plan.budget_bytes);
  PLIMSOLL_CHECK(plan.kv_pool_bytes == plan.block_bytes * plan.blocks.value(), plan.blocks);
  PLIMSOLL_CHECK(plan.fits() || plan.blocks == Blocks(0), plan.blocks);
}

// Plans of training: the sums of one GPU add up, whatever the method.
void JudgeTraining(const ModelConfig& model) {
  for (const TrainingMethod method : {TrainingMethod::kMixed, TrainingMethod::kQlora}) {
    const absl::StatusOr<TrainingPlan> plan =
        PlanTraining(model, {.method = method, .batch = 1, .sequence = Tokens(64)});
    if (!plan.ok()) {
      JudgeRefusal(plan.status());
      continue;
    }
    const Bytes sum = plan->weights_bytes + plan->gradients_bytes + plan->optimizer_bytes +
                      plan->activations_bytes + plan->buffers_bytes;
    PLIMSOLL_CHECK(sum == plan->total_bytes, sum, plan->total_bytes);
  }
}

}  // namespace

void JudgeRefusal(const absl::Status& status) {
  const std::string message(status.message());
  PLIMSOLL_CHECK(!message.empty() && message.size() < kLongestMessage, message.size());
  const bool plain = std::none_of(message.begin(), message.end(),
                                  [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; });
  PLIMSOLL_CHECK(plain, message);
}

void JudgeModel(const ModelConfig& model) {
  PLIMSOLL_CHECK(model.layers > 0 && model.vocab_size > 0, model.layers, model.vocab_size);
  PLIMSOLL_CHECK(model.Parameters() > 0 && model.Parameters() <= kMostParameters,
                 model.Parameters());
  PLIMSOLL_CHECK(model.ActiveParameters() <= model.Parameters(), model.ActiveParameters());
  for (const char* const name : kFormats) {
    InferenceOptions options{.device_bytes = Bytes(int64_t{80} << 30)};
    if (*name != '\0') options.weights = WeightFormatFromName(name);
    const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
    if (plan.ok()) JudgePlan(*plan);
    if (!plan.ok()) JudgeRefusal(plan.status());
  }
  JudgeTraining(model);
}

}  // namespace plimsoll
