#include "tools/serve/ledger_pool.h"

#include <limits>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

absl::StatusOr<std::unique_ptr<LedgerPool>> LedgerPool::Create(const EngineOptions& options,
                                                               const Clock& clock) {
  std::unique_ptr<LedgerPool> pool(new LedgerPool);
  if (options.blocks) pool->blocks_ = *options.blocks;
  if (!options.model_path.empty()) PLIMSOLL_RETURN_IF_ERROR(pool->Size(options));
  const Blocks most = options.max_blocks.value_or(pool->blocks_);
  if (most < pool->blocks_) {
    return BadField("--max-blocks", most.value(),
                    "at least the pool's " + std::to_string(pool->blocks_.value()));
  }
  absl::StatusOr<std::unique_ptr<KvCache>> cache = KvCache::Create(
      {.capacity = pool->blocks_, .block_tokens = options.block_tokens, .most = most});
  if (!cache.ok()) return cache.status();
  pool->cache_ = *std::move(cache);
  AdmissionOptions admission = options.admission;
  admission.max_context = pool->max_context_;
  absl::StatusOr<std::unique_ptr<AdmissionController>> controller =
      AdmissionController::Create(admission, *pool->cache_, clock);
  if (!controller.ok()) return controller.status();
  pool->admission_ = std::make_unique<SharedAdmission>(*std::move(controller));
  return pool;
}

absl::StatusOr<PoolResized> LedgerPool::Resize(Blocks total) {
  return admission_->With([&](AdmissionController& admission) {
    return admission.Resize(total,
                            [](Blocks, std::span<const BlockMove>) { return absl::OkStatus(); });
  });
}

absl::Status LedgerPool::Size(const EngineOptions& options) {
  const absl::StatusOr<ModelConfig> model = ReadModelConfig(options.model_path);
  if (!model.ok()) return model.status();
  // With a number of blocks given, the plan only says how large one is.
  const Bytes memory = options.memory.value_or(kMaxBytes);
  InferenceOptions sizing{
      .device_bytes = memory, .weights = options.weights, .kv = options.kv_type};
  sizing.utilization = options.utilization;
  sizing.block_tokens = options.block_tokens;
  sizing.max_batched_tokens = options.loop.max_batched_tokens;
  sizing.max_sequences = options.loop.max_sequences;
  const absl::StatusOr<InferencePlan> plan = PlanInference(*model, sizing);
  if (!plan.ok()) return plan.status();
  model_ = model->name;
  max_context_ = model->max_context;
  block_bytes_ = plan->block_bytes;
  if (options.blocks) return absl::OkStatus();
  if (!plan->fits()) {
    return absl::ResourceExhaustedError(model->name + " does not fit " + FormatSize(memory) +
                                        ": it is " + FormatSize(plan->shortfall_bytes) +
                                        " short; see plimsoll plan");
  }
  constexpr int64_t kMostBlocks = std::numeric_limits<int32_t>::max();
  if (plan->blocks > Blocks(kMostBlocks)) {
    return BadField("--memory", FormatSize(memory), "room for at most 2^31 - 1 blocks");
  }
  blocks_ = plan->blocks;
  return absl::OkStatus();
}

}  // namespace plimsoll
