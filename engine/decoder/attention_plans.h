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

  // The most items, chunks among them unless each row is of another sequence, and splits that the
  // plans of a pass of `rows` rows have together.
  int64_t MostItems(int64_t rows, bool with_chunks = true) const;
  int64_t MostSplits(int64_t rows) const { return rows * std::ssize(plans_); }
  // Numbers that partial results take, of one layer at a time.
  int64_t partial_sums() const { return partial_sums_; }
  int64_t partial_weights() const { return partial_weights_; }

  // Plans a pass over `rows` and writes it to `inputs`, which are yet to be uploaded and have room
  // for as many items and splits as `room` rows may have. With `fill`, each row is of another
  // sequence, and the work is all of that room, the rest of it items of nothing: so it is the same
  // for all passes of that room.
  void Plan(std::span<const RowPlace> rows, int64_t room, bool fill, StepInputs& inputs);
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
  int64_t partial_sums_ = 0;
  int64_t partial_weights_ = 0;
};

}  // namespace plimsoll
