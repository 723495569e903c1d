#include "kvcache/sizing/training_fits.h"

#include <utility>

namespace plimsoll {
namespace {

// Tries settings on one kind of model.
template <class Model>
class Trial {
 public:
  Trial(const Model& model, const TrainingOptions& options) : model_(model), options_(options) {}

  std::vector<TrainingFit> Run() && {
    TryRecompute();
    for (int stage = 3; stage > options_.zero_stage; --stage) {
      TrySplit(options_.recompute, stage, "");
    }
    TryOffload();
    TryAdapters();
    if (fits_.empty()) TrySplit(Recompute::kFull, 3, " --recompute full");
    return std::move(fits_);
  }

 private:
  void Try(const TrainingOptions& options, std::string setting) {
    const absl::StatusOr<TrainingPlan> plan = PlanTraining(model_, options);
    if (plan.ok() && plan->fits()) fits_.push_back({std::move(setting), plan->total_bytes});
  }

  void TryRecompute() {
    for (const Recompute recompute : {Recompute::kSelective, Recompute::kFull}) {
      if (recompute <= options_.recompute) continue;
      TrainingOptions more = options_;
      more.recompute = recompute;
      Try(more, "--recompute " + std::string(NameOf(recompute)));
    }
  }

  // The fewest GPUs at `stage` for which the plan itself says that they are enough.
  void TrySplit(Recompute recompute, int stage, const std::string& beside) {
    TrainingOptions split = options_;
    split.recompute = recompute;
    split.zero_stage = stage;
    const absl::StatusOr<TrainingPlan> plan = PlanTraining(model_, split);
    if (!plan.ok() || !plan->gpus_needed) return;
    split.gpus = *plan->gpus_needed;
    Try(split,
        "--zero " + std::to_string(stage) + " --gpus " + std::to_string(split.gpus) + beside);
  }

  void TryOffload() {
    if (options_.offload != Offload::kNone) return;
    TrainingOptions away = options_;
    away.offload = Offload::kCpu;
    Try(away, "--offload cpu");
  }

  void TryAdapters() {
    if (options_.trains_adapters()) return;
    for (const TrainingMethod method : {TrainingMethod::kLora, TrainingMethod::kQlora}) {
      TrainingOptions adapters = options_;
      adapters.method = method;
      Try(adapters, "--method " + std::string(NameOf(method)));
    }
  }

  const Model& model_;
  const TrainingOptions& options_;
  std::vector<TrainingFit> fits_;
};

}  // namespace

std::vector<TrainingFit> TrainingFits(const ModelConfig& model, const TrainingOptions& options) {
  return Trial(model, options).Run();
}

std::vector<TrainingFit> TrainingFits(const TextbookModel& model, const TrainingOptions& options) {
  return Trial(model, options).Run();
}

}  // namespace plimsoll
