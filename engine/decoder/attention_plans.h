// How the attention of each layer is cut up for a GPU, once for a pass: layers of one shape and
// window share a plan. Nothing to do where the operations are the CPU's.
//
// Threads: one caller. Cost: O(rows) a plan and pass; nothing allocates after creation. Errors:
// none.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/decoder/step_inputs.h"
#include "engine/device/backend.h"
#include "engine/ops/attention_plan.h"
#include "engine/ops/ops.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

class AttentionPlans {
 public:
  // For passes of up to `rows` rows.
  AttentionPlans(const ModelConfig& model, const DeviceBackend& device, int64_t rows);

  // The most items and splits that the plans of one pass have together.
  int64_t most_items() const { return most_items_; }
  int64_t most_splits() const { return rows_ * std::ssize(plans_); }
  // Numbers that partial results take, of one layer at a time.
  int64_t partial_sums() const { return partial_sums_; }
  int64_t partial_weights() const { return partial_weights_; }

  // Plans a pass over `rows` and writes it to `inputs`, which are yet to be uploaded.
  void Plan(std::span<const RowPlace> rows, StepInputs& inputs);
  // Of the pass planned last, without partial results. Empty on the CPU.
  AttentionWork Of(int64_t layer) const;

 private:
  struct Planned {
    cuda::AttentionPlanShape shape;
    cuda::AttentionPlan plan;
    AttentionWork work;
  };
  // The plan of `shape`, made if there is none.
  size_t PlanOf(const cuda::AttentionPlanShape& shape);

  int64_t rows_;
  std::vector<Planned> plans_;
  std::vector<size_t> plan_of_layer_;
  int64_t most_items_ = 0;
  int64_t partial_sums_ = 0;
  int64_t partial_weights_ = 0;
};

}  // namespace plimsoll
