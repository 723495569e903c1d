#include "engine/decoder/attention_plans.h"

#include <algorithm>
#include <limits>

#include "engine/ops/attention_shape.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

cuda::AttentionPlanShape ShapeOf(const AttentionSpec& layer, int64_t multiprocessors) {
  const auto heads = static_cast<int32_t>(layer.heads);
  const auto kv_heads = static_cast<int32_t>(layer.kv_heads);
  const auto dim = static_cast<int32_t>(layer.head_dim);
  const int32_t blocks =
      cuda::AttentionBlocksPerMultiprocessor(cuda::AttentionColumns(heads, kv_heads, dim), dim);
  return {.rows_per_item = cuda::RowsPerAttentionItem(heads, kv_heads, dim),
          .blocks_per_item = cuda::BlocksPerAttentionItem(heads, kv_heads, dim),
          .blocks_at_once = static_cast<int32_t>(multiprocessors) * blocks,
          .window = layer.window ? layer.window->value() : std::numeric_limits<int64_t>::max(),
          .least_tokens = cuda::LeastTokensPerPiece(heads, kv_heads),
          .rows_per_chunk = cuda::RowsPerChunk(heads, kv_heads, dim),
          .blocks_per_chunk = cuda::BlocksPerChunk(heads, kv_heads, dim),
          .chunk_blocks_at_once =
              static_cast<int32_t>(multiprocessors) * cuda::kChunkBlocksPerMultiprocessor};
}

}  // namespace

AttentionPlans::AttentionPlans(const ModelConfig& model, const DeviceBackend& device, int64_t rows)
    : rows_(rows) {
  if (device.ops().device == Device::kCpu) return;
  for (const AttentionSpec& layer : model.attention) {
    const cuda::AttentionPlanShape shape = ShapeOf(layer, device.traits().multiprocessors);
    plan_of_layer_.push_back(PlanOf(shape));
    const int64_t partials = cuda::MostAttentionPartials(shape) * layer.heads;
    partial_sums_ = std::max(partial_sums_, partials * layer.head_dim);
    partial_weights_ = std::max(partial_weights_, partials * 2);
  }
}

size_t AttentionPlans::PlanOf(const cuda::AttentionPlanShape& shape) {
  const auto found = std::find_if(plans_.begin(), plans_.end(),
                                  [&](const Planned& planned) { return planned.shape == shape; });
  if (found != plans_.end()) return static_cast<size_t>(found - plans_.begin());
  const int64_t items = cuda::MostAttentionItems(rows_, shape);
  plans_.push_back({shape, {}, {}});
  plans_.back().plan.items.reserve(static_cast<size_t>(rows_ + items));  // groups, then pieces
  const int64_t chunks = cuda::MostAttentionChunks(rows_, shape);
  plans_.back().plan.chunks.reserve(static_cast<size_t>(rows_ + chunks));
  plans_.back().plan.splits.reserve(static_cast<size_t>(rows_));
  plans_.back().plan.steps.reserve(static_cast<size_t>(rows_));
  return plans_.size() - 1;
}

int64_t AttentionPlans::MostItems(int64_t rows, bool with_chunks) const {
  int64_t items = 0;
  for (const Planned& planned : plans_) {
    items += cuda::MostAttentionItems(rows, planned.shape);
    if (with_chunks) items += cuda::MostAttentionChunks(rows, planned.shape);
  }
  return items;
}

void AttentionPlans::Plan(std::span<const RowPlace> rows, int64_t room, bool fill,
                          StepInputs& inputs) {
  PlimsollCudaAttentionItem* items = inputs.items();
  PlimsollCudaAttentionSplit* splits = inputs.splits();
  for (Planned& planned : plans_) {
    cuda::PlanAttention(rows, planned.shape, planned.plan);
    std::vector<cuda::AttentionItem>& its_items = planned.plan.items;
    const std::vector<cuda::AttentionItem>& its_chunks = planned.plan.chunks;
    std::vector<cuda::AttentionSplit>& its_splits = planned.plan.splits;
    if (fill) {
      PLIMSOLL_CHECK(its_chunks.empty(), its_chunks.size());
      its_items.resize(static_cast<size_t>(cuda::MostAttentionItems(room, planned.shape)), {});
      its_splits.resize(static_cast<size_t>(room), {});
    }
    planned.work = {.items = inputs.OnDevice(items),
                    .item_count = static_cast<int32_t>(its_items.size()),
                    .chunks = inputs.OnDevice(items + its_items.size()),
                    .chunk_count = static_cast<int32_t>(its_chunks.size()),
                    .splits = inputs.OnDevice(splits),
                    .split_count = static_cast<int32_t>(its_splits.size())};
    items = std::copy(its_items.begin(), its_items.end(), items);
    items = std::copy(its_chunks.begin(), its_chunks.end(), items);
    splits = std::copy(its_splits.begin(), its_splits.end(), splits);
  }
}

AttentionWork AttentionPlans::Of(int64_t layer) const {
  if (plans_.empty()) return {};
  return plans_[plan_of_layer_[static_cast<size_t>(layer)]].work;
}

}  // namespace plimsoll
