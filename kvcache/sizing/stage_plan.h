// The plan of one GPU of one stage, and which stage binds the others.
//
// Threads: pure. Cost: O(layers + tensors) a stage. Errors: none; the options were checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kvcache/model/model_config.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/parallel_split.h"
#include "kvcache/sizing/plan_terms.h"
#include "kvcache/sizing/pool_capacity.h"

namespace plimsoll {

// K and V of one token, or of one block of them, and the state of one sequence.
struct KeptBytes {
  Bytes token, block, state;
};

struct GpuPlan {
  StageLayers layers;
  GpuTerms terms;
  KeptBytes kept;            // by the model
  KeptBytes kept_by_draft;   // zero without one
  std::string kept_formula;  // of one token
  PoolShape pool;            // its bytes are all that the terms leave
  // That the pool is cut into: of tokens, or where all layers are recurrent, of one sequence's
  // state. kUnlimited where this stage keeps nothing that the blocks are of.
  int64_t blocks;
  Bytes shortfall;
};

std::vector<GpuPlan> PlanStages(const ModelConfig& model, const InferenceOptions& options,
                                Bytes budget);

// The stage that misses by most where one does, else the one with the fewest blocks.
int64_t BindingStage(const std::vector<GpuPlan>& stages);

// Writes memory, blocks and formulas of that stage's GPU into `plan`.
void DescribeGpu(const GpuPlan& gpu, InferencePlan& plan);
StagePlan RowOf(const GpuPlan& gpu, const InferencePlan& plan);

}  // namespace plimsoll
