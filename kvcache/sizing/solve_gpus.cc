// How many GPUs hold what is wanted; solve.h.
#include <algorithm>
#include <tuple>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/parallel_split.h"
#include "kvcache/sizing/runtime_bytes.h"
#include "kvcache/sizing/solve.h"

namespace plimsoll {
namespace {

// One search: what does not change between the splits that it tries.
struct Search {
  const ModelConfig& model;
  const InferenceOptions& options;
  const std::optional<GpuSpec>& gpu;

  InferenceOptions Over(int64_t tensor, int64_t pipeline, int64_t expert) const {
    InferenceOptions split = options;
    split.tensor_parallel = tensor;
    split.pipeline_parallel = pipeline;
    split.expert_parallel = expert;
    return gpu ? WithRuntimeOf(*gpu, model, std::move(split)) : split;
  }
};

// Below this no split can hold `wanted`: every tensor, and K and V of every token, lie on at least
// one GPU.
int64_t FewestToTry(const Search& search, const WantedLoad& wanted) {
  const absl::StatusOr<InferencePlan> whole = PlanInference(search.model, search.Over(1, 1, 1));
  if (!whole.ok() || whole->budget_bytes == Bytes(0)) return 1;
  const Bytes least = whole->weights_bytes + PoolBytesOf(*whole, wanted);
  return std::max<int64_t>(CeilDivide(least.value(), whole->budget_bytes.value()), 1);
}

// The best split of exactly `gpus`; nothing where none divides.
std::optional<GpuSplit> BestSplit(const Search& search, Tokens context, int64_t gpus) {
  const int64_t expert = search.options.expert_parallel;
  std::optional<GpuSplit> best;
  for (int64_t tensor = gpus; tensor >= 1; --tensor) {
    const int64_t of_one_stage = std::max(tensor, expert);
    if (gpus % of_one_stage != 0) continue;
    const int64_t pipeline = gpus / of_one_stage;
    const auto held = SequencesHeld(search.model, search.Over(tensor, pipeline, expert), context);
    if (!held.ok() || (best && *held <= best->sequences)) continue;
    best = {
        .gpus = gpus, .tensor_parallel = tensor, .pipeline_parallel = pipeline, .sequences = *held};
  }
  return best;
}

}  // namespace

InferenceOptions WithRuntimeOf(const GpuSpec& gpu, const ModelConfig& model,
                               InferenceOptions options) {
  // Whether the parallelism is within its range the plan says later.
  const auto bounded = [](int64_t n) { return std::clamp<int64_t>(n, 1, kMaxParallel); };
  const int64_t stages = bounded(options.pipeline_parallel);
  const int64_t of_one_stage =
      std::max(bounded(options.tensor_parallel), bounded(options.expert_parallel));
  RuntimeEstimate runtime =
      EstimateRuntime(gpu, CeilDivide(model.layers, stages), of_one_stage * stages);
  options.runtime = runtime.bytes;
  options.runtime_formula = std::move(runtime.formula);
  return options;
}

absl::StatusOr<GpuSearch> FewestGpus(const ModelConfig& model, const InferenceOptions& options,
                                     const WantedLoad& wanted, const std::optional<GpuSpec>& gpu,
                                     int64_t most_gpus) {
  if (wanted.sequences < 1 || wanted.sequences > kMaxPlannedSequences) {
    return BadField("sequences", wanted.sequences, "1 to " + std::to_string(kMaxPlannedSequences));
  }
  const Search search{.model = model, .options = options, .gpu = gpu};
  const absl::StatusOr<int64_t> alone =
      SequencesHeld(model, search.Over(1, 1, options.expert_parallel), wanted.context);
  if (!alone.ok()) return alone.status();
  GpuSearch found{.best = {}, .holds = false};
  for (int64_t gpus = FewestToTry(search, wanted); gpus <= most_gpus && !found.holds; ++gpus) {
    const std::optional<GpuSplit> best = BestSplit(search, wanted.context, gpus);
    if (!best) continue;
    found.best.push_back(*best);
    found.holds = best->sequences >= wanted.sequences;
  }
  return found;
}

absl::StatusOr<std::vector<GpuChoice>> GpusThatHold(const ModelConfig& model,
                                                    const InferenceOptions& options,
                                                    const WantedLoad& wanted) {
  std::vector<GpuChoice> choices;
  for (const GpuSpec& gpu : KnownGpus()) {
    InferenceOptions own = options;
    own.device_bytes = gpu.memory();
    const absl::StatusOr<GpuSearch> search = FewestGpus(model, own, wanted, gpu, kMostOfOneKind);
    if (!search.ok()) return search.status();
    if (search->holds) choices.push_back({gpu, search->best.back()});
  }
  std::stable_sort(choices.begin(), choices.end(), [](const GpuChoice& a, const GpuChoice& b) {
    return std::tuple(a.split.gpus, a.gpu.memory()) < std::tuple(b.split.gpus, b.gpu.memory());
  });
  return choices;
}

}  // namespace plimsoll
