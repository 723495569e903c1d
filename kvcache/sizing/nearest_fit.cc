#include "kvcache/sizing/nearest_fit.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kvcache/base/size_text.h"

namespace plimsoll {
namespace {

constexpr int64_t kSmallestStep = 512;  // tokens; below it, reading prompts is slow

std::string Text(int64_t n) { return std::to_string(n); }

// One search for what fits: the options as they are, what is wanted, and what was found.
class FitSearch {
 public:
  FitSearch(const ModelConfig& model, const InferenceOptions& options, const WantedLoad& wanted,
            const std::optional<GpuSpec>& gpu)
      : model_(model), options_(options), wanted_(wanted), gpu_(gpu) {}

  std::vector<FitSetting> Run() {
    const bool step_is_enough = TrySmallerSteps();
    if (!TryNarrowerWeights(options_, "") && !step_is_enough) TryWeightsWithTheSmallestStep();
    TryNarrowerKv();
    TryMoreGpus();
    TryLessLoad();
    TryMoreMemory();
    return std::move(fits_);
  }

 private:
  bool Holds(const InferenceOptions& options) const {
    const absl::StatusOr<int64_t> held = SequencesHeld(model_, options, wanted_.context);
    return held.ok() && *held >= wanted_.sequences;
  }

  void Add(const InferenceOptions& options, std::string setting) {
    const absl::StatusOr<InferencePlan> plan = PlanInference(model_, options);
    if (plan.ok()) fits_.push_back({std::move(setting), plan->blocks});
  }

  // Adds the setting if it is enough; says whether it is.
  bool AddIfItHolds(const InferenceOptions& options, std::string setting) {
    if (!Holds(options)) return false;
    Add(options, std::move(setting));
    return true;
  }

  InferenceOptions WithStep(int64_t step) const {
    InferenceOptions smaller = options_;
    smaller.max_batched_tokens = Tokens(step);
    return smaller;
  }

  static std::string StepSetting(int64_t step) { return "--max-batched-tokens " + Text(step); }

  bool TrySmallerSteps() {
    const auto below = static_cast<uint64_t>(options_.max_batched_tokens.value() - 1);
    for (auto step = static_cast<int64_t>(std::bit_floor(below)); step >= kSmallestStep;
         step /= 2) {
      if (AddIfItHolds(WithStep(step), StepSetting(step))) return true;
    }
    return false;
  }

  // The widest type of weights that is narrower than `options` have, and enough.
  bool TryNarrowerWeights(const InferenceOptions& options, const std::string& beside) {
    const absl::StatusOr<InferencePlan> now = PlanInference(model_, options);
    const absl::StatusOr<std::vector<TypeTried>> tried = TryWeights(model_, options, wanted_);
    if (!now.ok() || !tried.ok()) return false;
    for (const TypeTried& type : *tried) {
      if (!type.holds || type.bytes >= now->weights_bytes || type.type == kAsStored) continue;
      InferenceOptions narrower = options;
      narrower.weights = WeightFormatFromName(type.type);
      Add(narrower, "--weights " + type.type + beside);
      return true;
    }
    return false;
  }

  void TryWeightsWithTheSmallestStep() {
    if (options_.max_batched_tokens <= Tokens(kSmallestStep)) return;
    TryNarrowerWeights(WithStep(kSmallestStep), " " + StepSetting(kSmallestStep));
  }

  void TryNarrowerKv() {
    const absl::StatusOr<InferencePlan> now = PlanInference(model_, options_);
    const absl::StatusOr<std::vector<TypeTried>> tried = TryKv(model_, options_, wanted_);
    if (!now.ok() || !tried.ok()) return;
    for (const TypeTried& type : *tried) {
      if (!type.holds || type.bytes >= now->kv_bytes_per_token) continue;
      InferenceOptions narrower = options_;
      narrower.kv = ElementTypeFromName(type.type);
      Add(narrower, "--kv " + type.type);
      return;
    }
  }

  void TryMoreGpus() {
    const int64_t now =
        std::max(options_.tensor_parallel, options_.expert_parallel) * options_.pipeline_parallel;
    const auto search = FewestGpus(model_, options_, wanted_, gpu_, kMostOfOneKind);
    if (!search.ok() || !search->holds || search->best.back().gpus <= now) return;
    const GpuSplit& split = search->best.back();
    InferenceOptions more = options_;
    more.tensor_parallel = split.tensor_parallel;
    more.pipeline_parallel = split.pipeline_parallel;
    std::string setting = "--tensor-parallel " + Text(split.tensor_parallel);
    if (split.pipeline_parallel > 1) {
      setting += " --pipeline-parallel " + Text(split.pipeline_parallel);
    }
    Add(gpu_ ? WithRuntimeOf(*gpu_, model_, more) : more, std::move(setting));
  }

  // Where the model fits but not all that is wanted of it.
  void TryLessLoad() {
    const auto context = LongestContext(model_, options_, wanted_.sequences);
    if (context.ok() && *context > Tokens(0) && *context < wanted_.context) {
      Add(options_, "--context " + Text(context->value()));
    }
    const auto sequences = SequencesHeld(model_, options_, wanted_.context);
    if (sequences.ok() && *sequences > 0) Add(options_, "--sequences " + Text(*sequences));
  }

  // More memory never means less capacity, so halving the range finds the least that is enough.
  void TryMoreMemory() {
    InferenceOptions larger = options_;
    Bytes few = options_.device_bytes;  // too little, and enough
    Bytes enough = kMaxBytes;
    larger.device_bytes = enough;
    if (!Holds(larger)) return;
    while (enough - few > Bytes(1)) {
      larger.device_bytes = few + Bytes((enough - few).value() / 2);
      (Holds(larger) ? enough : few) = larger.device_bytes;
    }
    larger.device_bytes = enough;
    Add(larger, "--memory " + Text(enough.value()));
  }

  const ModelConfig& model_;
  const InferenceOptions& options_;
  const WantedLoad& wanted_;
  const std::optional<GpuSpec>& gpu_;
  std::vector<FitSetting> fits_;
};

}  // namespace

std::vector<FitSetting> NearestFits(const ModelConfig& model, const InferenceOptions& options,
                                    const WantedLoad& wanted, const std::optional<GpuSpec>& gpu) {
  return FitSearch(model, options, wanted, gpu).Run();
}

}  // namespace plimsoll
