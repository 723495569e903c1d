#include "kvcache/sizing/inference_plan.h"

#include <algorithm>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"
#include "kvcache/sizing/kv_bytes.h"
#include "kvcache/sizing/plan_options.h"
#include "kvcache/sizing/stage_plan.h"
#include "kvcache/sizing/weight_layout.h"

namespace plimsoll {
namespace {

constexpr Tokens kFirstRung = Tokens(1024);  // of the default ladder of contexts

// floor(device * utilization), with the one product in double.
Bytes BudgetOf(Bytes device, double utilization) {
  const double product = static_cast<double>(device.value()) * utilization;
  return std::min(Bytes(static_cast<int64_t>(product)), device);
}

void DescribeModel(const ModelConfig& model, const InferenceOptions& options, InferencePlan& plan) {
  plan.name = model.name;
  plan.architecture = model.architecture;
  plan.parameters = model.Parameters();
  plan.parameters_stored = model.StoredParameters();
  plan.parameters_active = model.ActiveParameters();
  plan.layers = model.layers;
  plan.left_out = model.left_out;
  const WeightLayout layout(model, options.weights);
  plan.weights_type = layout.width();
  plan.weights_format = layout.name();
  plan.kv_type = options.kv.value_or(DefaultKvType(model));
  const KvBytes kv = KvBytesOf(model, plan.kv_type);
  plan.kv_bytes_per_token = kv.per_token;
  plan.kv_bytes_per_token_long = kv.per_token_long;
  plan.window_bytes_per_sequence = kv.window_per_sequence;
  plan.state_bytes_per_sequence = kv.state_per_sequence;
}

void DescribeDeployment(const InferenceOptions& options, InferencePlan& plan) {
  const ParallelSplit split = SplitOf(options);
  plan.tensor_parallel = split.tensor;
  plan.pipeline_parallel = split.pipeline;
  plan.expert_parallel = split.expert;
  plan.gpus = split.gpus();
  plan.replicas = split.replicas();
  if (options.draft != nullptr) plan.draft_name = options.draft->name;
  plan.lookahead_tokens = options.lookahead_tokens;
  plan.shared_prefix = options.shared_prefix;
  plan.utilization = options.utilization;
  plan.device_bytes = options.device_bytes;
  plan.budget_bytes = BudgetOf(options.device_bytes, options.utilization);
  plan.block_tokens = options.block_tokens;
}

// 1024, 2048, ... and the model's own context at the end.
std::vector<Tokens> Ladder(Tokens max_context) {
  std::vector<Tokens> rungs;
  for (Tokens rung = kFirstRung; rung < max_context; rung = rung * 2) rungs.push_back(rung);
  rungs.push_back(max_context);
  return rungs;
}

ContextCapacity CapacityAt(Tokens context, const std::vector<GpuPlan>& stages) {
  ContextCapacity row{.context = context, .sequences = kUnlimited, .sequences_grouped = kUnlimited};
  for (const GpuPlan& stage : stages) {
    row.sequences = std::min(row.sequences, SequencesIn(stage.pool, context));
    row.sequences_grouped =
        std::min(row.sequences_grouped, GroupedSequencesIn(stage.pool, context));
  }
  return row;
}

void AddCapacity(const ModelConfig& model, const std::vector<Tokens>& contexts,
                 const std::vector<GpuPlan>& stages, InferencePlan& plan) {
  for (const Tokens context : contexts.empty() ? Ladder(model.max_context) : contexts) {
    plan.max_sequences.push_back(plan.fits() ? CapacityAt(context, stages)
                                             : ContextCapacity{.context = context, .sequences = 0});
  }
  if (!plan.fits()) return;
  plan.longest_context = model.max_context;
  for (const GpuPlan& stage : stages) {
    plan.longest_context = LongestContextIn(stage.pool, plan.longest_context);
  }
  const Tokens each = plan.kv_bytes_per_token > Bytes(0) ? plan.block_tokens : model.max_context;
  const auto all = CheckedProduct({plan.blocks.value(), each.value()});
  plan.tokens = Tokens(all.value_or(kMaxTokens));
}

InferencePlan PlanOf(const ModelConfig& model, const InferenceOptions& options) {
  InferencePlan plan{};
  DescribeModel(model, options, plan);
  DescribeDeployment(options, plan);
  const std::vector<GpuPlan> stages = PlanStages(model, options, plan.budget_bytes);
  plan.stage = BindingStage(stages);
  DescribeGpu(stages[static_cast<size_t>(plan.stage)], plan);
  for (const GpuPlan& stage : stages) plan.stages.push_back(RowOf(stage, plan));
  AddCapacity(model, options.contexts, stages, plan);
  return plan;
}

}  // namespace

ElementType DefaultKvType(const ModelConfig& model) {
  if (model.kv_type) return *model.kv_type;
  return model.dtype == ElementType::kFp16 ? ElementType::kFp16 : ElementType::kBf16;
}

Bytes DeviceFor(Bytes budget, double utilization) {
  // The quotient is right but for rounding; the product decides.
  const double quotient = static_cast<double>(budget.value()) / utilization;
  const int64_t most = int64_t{1} << 62;
  int64_t device = quotient < static_cast<double>(most) ? static_cast<int64_t>(quotient) : most;
  while (device < most && BudgetOf(Bytes(device), utilization) < budget) ++device;
  while (device > 1 && BudgetOf(Bytes(device - 1), utilization) >= budget) --device;
  return Bytes(device);
}

absl::StatusOr<InferencePlan> PlanInference(const ModelConfig& model,
                                            const InferenceOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckPlanOptions(model, options));
  return options.decompress_latent ? PlanOf(WithLatentDecompressed(model), options)
                                   : PlanOf(model, options);
}

}  // namespace plimsoll
