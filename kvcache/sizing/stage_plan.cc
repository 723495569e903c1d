#include "kvcache/sizing/stage_plan.h"

#include <algorithm>
#include <utility>

#include "kvcache/sizing/kv_bytes.h"
#include "kvcache/sizing/plan_options.h"

namespace plimsoll {
namespace {

KeptBytes KeptOf(const KvBytes& kv, Tokens block_tokens) {
  return {.token = kv.per_token,
          .block = kv.per_token * block_tokens.value(),
          .state = kv.state_per_sequence};
}

GpuShare ShareOfGpu(const ModelConfig& model, const InferenceOptions& options, int64_t stage) {
  const ParallelSplit split = SplitOf(options);
  GpuShare share{.whole = model,
                 .share = CutShare(model, split, stage),
                 .draft = std::nullopt,
                 .is_last = stage == split.pipeline - 1};
  if (options.draft == nullptr || !share.is_last) return share;
  share.draft = CutShare(*options.draft, DraftSplitOf(options), 0);
  if (options.decompress_latent) {
    share.draft->model = WithLatentDecompressed(std::move(share.draft->model));
  }
  return share;
}

std::vector<WindowGroup> WindowsOf(const ModelConfig& model, ElementType kv, Tokens block_tokens) {
  std::vector<WindowGroup> groups;
  for (const AttentionSpec& layer : model.attention) {
    if (!layer.window) continue;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const WindowGroup& known) {
      return known.window == *layer.window;
    });
    if (group == groups.end()) {
      group = groups.insert(group, {.window = *layer.window, .block_bytes = Bytes(0)});
    }
    group->block_bytes += KvBytesOfLayer(layer, kv) * block_tokens.value();
  }
  return groups;
}

// Cuts what the terms leave into blocks; what a pool without blocks has is all for states.
void CutIntoBlocks(bool keeps_tokens, Bytes budget, GpuPlan& gpu) {
  const Bytes terms = gpu.terms.Sum();
  const Bytes left = budget > terms ? budget - terms : Bytes(0);
  const Bytes unit = keeps_tokens ? gpu.pool.block_bytes : gpu.pool.state_bytes;
  const Bytes least = gpu.pool.block_bytes + gpu.pool.state_bytes;
  if (terms > budget || left < least) gpu.shortfall = terms + least - budget;
  const bool cut = unit > Bytes(0) && gpu.shortfall == Bytes(0);
  gpu.blocks = cut ? left / unit : gpu.shortfall == Bytes(0) ? kUnlimited : 0;
  gpu.pool.bytes = keeps_tokens && cut ? unit * gpu.blocks : left;
}

GpuPlan PlanGpu(const GpuShare& share, const InferenceOptions& options, ElementType kv_type,
                bool keeps_tokens, Bytes budget) {
  const KvBytes kv = KvBytesOf(share.share.model, kv_type);
  GpuPlan gpu{.layers = {},
              .terms = TermsOf(share, options),
              .kept = KeptOf(kv, options.block_tokens),
              .kept_by_draft = {},
              .kept_formula = kv.formula,
              .pool = {},
              .blocks = 0,
              .shortfall = Bytes(0)};
  if (share.draft) {
    gpu.kept_by_draft = KeptOf(KvBytesOf(share.draft->model, kv_type), options.block_tokens);
  }
  gpu.pool = {.bytes = Bytes(0),
              .block_bytes = gpu.kept.block + gpu.kept_by_draft.block,
              .state_bytes = gpu.kept.state + gpu.kept_by_draft.state,
              .block_tokens = options.block_tokens,
              .lookahead = options.lookahead_tokens,
              .shared_prefix = options.shared_prefix,
              .windows = WindowsOf(share.share.model, kv_type, options.block_tokens)};
  CutIntoBlocks(keeps_tokens, budget, gpu);
  return gpu;
}

std::string BlocksText(const InferencePlan& plan, Bytes token) {
  return std::to_string(plan.blocks.value()) + " blocks x " +
         std::to_string(plan.block_tokens.value()) + " tokens x " + std::to_string(token.value()) +
         " bytes";
}

std::string PoolFormula(const GpuPlan& gpu, const InferencePlan& plan) {
  if (plan.kv_bytes_per_token > Bytes(0)) {
    return BlocksText(plan, gpu.kept.token) + " (" + gpu.kept_formula + ")";
  }
  return std::to_string(plan.blocks.value()) + " blocks x " +
         std::to_string(plan.block_bytes.value()) + " bytes of one sequence's state";
}

void DescribePool(const GpuPlan& gpu, InferencePlan& plan) {
  const bool keeps_tokens = plan.kv_bytes_per_token > Bytes(0);
  plan.blocks = Blocks(gpu.blocks);
  plan.block_bytes = keeps_tokens ? gpu.kept.block : gpu.kept.state;
  plan.draft_block_bytes = gpu.kept_by_draft.block;
  plan.sequence_state_bytes = gpu.pool.state_bytes;
  plan.kv_pool_bytes = plan.block_bytes * gpu.blocks;
  plan.formulas.push_back({"kv", PoolFormula(gpu, plan), plan.kv_pool_bytes});
  if (plan.draft_block_bytes == Bytes(0)) return;
  const Bytes draft_pool = plan.draft_block_bytes * gpu.blocks;
  plan.draft_bytes += draft_pool;
  plan.formulas.push_back({"draft kv", BlocksText(plan, gpu.kept_by_draft.token), draft_pool});
}

}  // namespace

std::vector<GpuPlan> PlanStages(const ModelConfig& model, const InferenceOptions& options,
                                Bytes budget) {
  const ElementType kv_type = options.kv.value_or(DefaultKvType(model));
  std::vector<GpuPlan> stages;
  for (int64_t stage = 0; stage < options.pipeline_parallel; ++stage) {
    stages.push_back(PlanGpu(ShareOfGpu(model, options, stage), options, kv_type,
                             !model.attention.empty(), budget));
    stages.back().layers = LayersOfStage(model.layers, options.pipeline_parallel, stage);
  }
  return stages;
}

int64_t BindingStage(const std::vector<GpuPlan>& stages) {
  const auto binds_more = [](const GpuPlan& a, const GpuPlan& b) {
    return a.shortfall != b.shortfall ? a.shortfall > b.shortfall : a.blocks < b.blocks;
  };
  return std::min_element(stages.begin(), stages.end(), binds_more) - stages.begin();
}

void DescribeGpu(const GpuPlan& gpu, InferencePlan& plan) {
  plan.weights_bytes = gpu.terms.weights;
  plan.weights_resident_bytes = gpu.terms.weights_resident;
  plan.draft_bytes = gpu.terms.draft;
  plan.io_bytes = gpu.terms.io;
  plan.activation_bytes = gpu.terms.activations;
  plan.runtime_bytes = gpu.terms.runtime;
  plan.margin_bytes = gpu.terms.margin;
  plan.shortfall_bytes = gpu.shortfall;
  plan.formulas = gpu.terms.formulas;
  DescribePool(gpu, plan);
  const Bytes used = gpu.terms.Sum() + gpu.pool.block_bytes * gpu.blocks;
  const Bytes states = plan.kv_bytes_per_token > Bytes(0) ? Bytes(0) : plan.kv_pool_bytes;
  plan.unused_bytes =
      plan.budget_bytes > used + states ? plan.budget_bytes - used - states : Bytes(0);
}

StagePlan RowOf(const GpuPlan& gpu, const InferencePlan& plan) {
  return {.first_layer = gpu.layers.first,
          .layers = gpu.layers.count,
          .weights_bytes = gpu.terms.weights,
          .kv_bytes_per_token = gpu.kept.token,
          .blocks = gpu.blocks == kUnlimited ? plan.blocks : Blocks(gpu.blocks),
          .shortfall_bytes = gpu.shortfall};
}

}  // namespace plimsoll
