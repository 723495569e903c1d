#include "kvcache/sizing/training_plan.h"

#include <algorithm>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/sizing/training_activations.h"
#include "kvcache/sizing/training_adapters.h"
#include "kvcache/sizing/training_compute.h"
#include "kvcache/sizing/training_stage.h"
#include "kvcache/sizing/training_states.h"

namespace plimsoll {
namespace {

void AddUp(TrainingPlan& plan) {
  for (const TrainingTerm& term : plan.formulas) {
    if (term.group == TrainingGroup::kWeights) plan.weights_bytes += term.bytes;
    if (term.group == TrainingGroup::kGradients) plan.gradients_bytes += term.bytes;
    if (term.group == TrainingGroup::kOptimizer) plan.optimizer_bytes += term.bytes;
    if (term.group == TrainingGroup::kActivations) plan.activations_bytes += term.bytes;
    if (term.group == TrainingGroup::kBuffers) plan.buffers_bytes += term.bytes;
  }
  plan.total_bytes = plan.weights_bytes + plan.gradients_bytes + plan.optimizer_bytes +
                     plan.activations_bytes + plan.buffers_bytes;
}

// What one pipeline stage trains, and what it saves for backward.
struct StagePart {
  TrainingStage stage;
  TrainingParameters parameters;
  std::vector<TrainingTerm> activations;
};

bool IsOfGpu(const TrainingTerm& term) {
  return term.group != TrainingGroup::kHost && term.group != TrainingGroup::kNvme;
}

// Bytes that a stage takes of each GPU with `replicas` of the model.
Bytes HeldWith(int64_t replicas, const StagePart& part, TrainingOptions options) {
  options.gpus = replicas * options.ranks();
  Bytes held;
  for (const TrainingTerm& term : PlaceStates(part.parameters, options).terms) {
    if (IsOfGpu(term)) held += term.bytes;
  }
  for (const TrainingTerm& term : part.activations) held += term.bytes;
  return held;
}

// The fewest replicas with which ZeRO's parts and the activations fit in `usable`.
std::optional<int64_t> FewestReplicas(Bytes usable, const std::vector<StagePart>& parts,
                                      const TrainingOptions& options) {
  const int64_t step = options.expert_parallel;  // replicas come in groups that share experts
  const auto fits = [&](int64_t groups) {
    return std::all_of(parts.begin(), parts.end(), [&](const StagePart& part) {
      return HeldWith(groups * step, part, options) <= usable;
    });
  };
  int64_t enough = kMaxTrainingGpus / options.ranks() / step;
  if (enough == 0 || !fits(enough)) return std::nullopt;
  int64_t too_few = 0;
  while (enough - too_few > 1) {
    const int64_t middle = too_few + (enough - too_few) / 2;
    (fits(middle) ? enough : too_few) = middle;
  }
  return enough * step;
}

// Over all stages and tensor-parallel ranks.
Bytes ReplicaBytes(const std::vector<StagePart>& parts, const TrainingOptions& options) {
  Bytes bytes;
  for (const StagePart& part : parts) {
    bytes += HeldWith(options.replicas(), part, options) * options.tensor_parallel;
  }
  return bytes;
}

void CountGpus(const std::vector<StagePart>& parts, TrainingPlan& plan) {
  const TrainingOptions& options = plan.options;
  if (!options.device_bytes) return;
  const Bytes usable =
      *options.device_bytes > options.runtime ? *options.device_bytes - options.runtime : Bytes(0);
  if (options.zero_stage > 0) {
    plan.gpus_needed_rule =
        "ZeRO-" + std::to_string(options.zero_stage) + " splits its states until each part fits";
    const std::optional<int64_t> replicas = FewestReplicas(usable, parts, options);
    if (replicas) plan.gpus_needed = *replicas * options.ranks();
    return;
  }
  plan.gpus_needed_rule = "one replica's bytes over the memory of one GPU, rounded up";
  if (usable == Bytes(0)) return;
  plan.gpus_needed = plan.total_bytes <= usable
                         ? options.ranks() * options.expert_parallel
                         : CeilDivide(ReplicaBytes(parts, options).value(), usable.value()) *
                               options.expert_parallel;
}

absl::Status CheckShape(const TextbookModel& model) {
  const auto check = [](std::string_view field, int64_t value, int64_t max) {
    if (value >= 1 && value <= max) return absl::OkStatus();
    return BadField(field, value, "1 to " + std::to_string(max));
  };
  PLIMSOLL_RETURN_IF_ERROR(check("parameters", model.parameters, kMaxTextbookParameters));
  PLIMSOLL_RETURN_IF_ERROR(check("layers", model.layers, 1 << 20));
  PLIMSOLL_RETURN_IF_ERROR(check("hidden", model.hidden, 1 << 22));
  return check("heads", model.heads, 1 << 20);
}

// The stage that takes most of its GPU; the first of equals.
const StagePart& Fullest(const std::vector<StagePart>& parts, const TrainingOptions& options) {
  const StagePart* fullest = &parts.front();
  Bytes most;
  for (const StagePart& part : parts) {
    const Bytes held = HeldWith(options.replicas(), part, options);
    if (held > most) fullest = &part;
    most = std::max(most, held);
  }
  return *fullest;
}

// Everything after the stages are known: where the fullest one is held, sums, GPUs.
absl::StatusOr<TrainingPlan> Finish(TrainingPlan plan, const std::vector<StagePart>& parts) {
  const StagePart& fullest = Fullest(parts, plan.options);
  TrainingPlacement placement = PlaceStates(fullest.parameters, plan.options);
  plan.stage = fullest.stage.index;
  plan.host = placement.host;
  plan.nvme = placement.nvme;
  plan.formulas = std::move(placement.terms);
  for (const TrainingTerm& term : fullest.activations) plan.formulas.push_back(term);
  AddUp(plan);
  if (plan.total_bytes.value() > kMaxBytes.value() / plan.options.ranks()) {
    return BadField("total", FormatSize(plan.total_bytes), "at most 1 EiB over all GPUs");
  }
  CountGpus(parts, plan);
  return plan;
}

absl::StatusOr<StagePart> PlanStage(const ModelConfig& part, const TrainingStage& stage,
                                    ActivationFormula formula, const TrainingOptions& options) {
  absl::StatusOr<TrainingParameters> parameters = TrainingParametersOf(part, options);
  if (!parameters.ok()) return parameters.status();
  auto activations = formula == ActivationFormula::kClassic
                         ? ClassicActivations(ClassicShapeOf(part), options, stage)
                         : ArchitectureActivations(part, options, stage);
  if (!activations.ok()) return activations.status();
  return StagePart{stage, *std::move(parameters), *std::move(activations)};
}

absl::StatusOr<StagePart> PlanStage(const TextbookModel& part, const TrainingStage& stage,
                                    ActivationFormula, const TrainingOptions& options) {
  absl::StatusOr<TrainingParameters> parameters = TrainingParametersOf(part, options);
  if (!parameters.ok()) return parameters.status();
  const ClassicShape shape{
      .hidden = part.hidden, .layers = part.layers, .heads = part.heads * part.layers};
  auto activations = ClassicActivations(shape, options, stage);
  if (!activations.ok()) return activations.status();
  return StagePart{stage, *std::move(parameters), *std::move(activations)};
}

// A stage may lack matrices that are adapted in another.
TrainingOptions OptionsOf(const ModelConfig& part, TrainingOptions options) {
  if (options.trains_adapters()) options.lora_targets = TargetsIn(part, options.lora_targets);
  return options;
}
TrainingOptions OptionsOf(const TextbookModel&, const TrainingOptions& options) { return options; }

template <class Model>
absl::StatusOr<std::vector<StagePart>> PlanStages(const Model& model, ActivationFormula formula,
                                                  const TrainingOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckStages(model.layers, options));
  std::vector<StagePart> parts;
  for (int64_t index = 0; index < options.pipeline_parallel; ++index) {
    const TrainingStage stage = StageAt(index, options);
    const bool whole = options.pipeline_parallel == 1;
    const Model part = whole ? model : PartOf(model, stage, options);
    absl::StatusOr<StagePart> planned =
        PlanStage(part, stage, formula, whole ? options : OptionsOf(part, options));
    if (!planned.ok()) return planned.status();
    parts.push_back(*std::move(planned));
  }
  return parts;
}

// Those of the model, or of the adapters that are trained in their place.
template <class Model>
absl::StatusOr<int64_t> TrainedParameters(const Model& model, int64_t all,
                                          const TrainingOptions& options) {
  if (!options.trains_adapters()) return all;
  const absl::StatusOr<AdapterCount> adapters =
      CountAdapters(model, options.lora_targets, options.lora_rank);
  if (!adapters.ok()) return adapters.status();
  return adapters->parameters;
}

// `plan` has what is known of the model itself.
template <class Model>
absl::StatusOr<TrainingPlan> PlanModel(TrainingPlan plan, const Model& model) {
  const auto trained = TrainedParameters(model, plan.parameters, plan.options);
  if (!trained.ok()) return trained.status();
  plan.trained_parameters = *trained;
  plan.recompute_overhead = RecomputeOverhead(model, plan.options);
  const auto parts = PlanStages(model, plan.activation_formula, plan.options);
  if (!parts.ok()) return parts.status();
  return Finish(std::move(plan), *parts);
}

}  // namespace

Bytes TrainingPlan::pageable_bytes() const {
  return options.method == TrainingMethod::kQlora ? optimizer_bytes : Bytes(0);
}

Bytes TrainingPlan::shortfall_bytes() const {
  if (!options.device_bytes) return Bytes(0);
  const Bytes wanted = total_bytes + options.runtime;
  return wanted > *options.device_bytes ? wanted - *options.device_bytes : Bytes(0);
}

absl::StatusOr<TrainingPlan> PlanTraining(const ModelConfig& model,
                                          const TrainingOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckTrainingOptions(options));
  PLIMSOLL_RETURN_IF_ERROR(CheckExperts(model, options.expert_parallel));
  TrainingPlan plan;
  plan.name = model.name;
  plan.architecture = model.architecture;
  plan.parameters = model.Parameters();
  plan.layers = model.layers;
  plan.textbook_parameters = TextbookParameters(model);
  plan.options = options;
  plan.activation_formula = options.activation_formula.value_or(ActivationFormula::kArchitecture);
  return PlanModel(std::move(plan), model);
}

absl::StatusOr<TrainingPlan> PlanTraining(const TextbookModel& model,
                                          const TrainingOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckTrainingOptions(options));
  PLIMSOLL_RETURN_IF_ERROR(CheckShape(model));
  if (options.activation_formula == ActivationFormula::kArchitecture) {
    return BadField("activation_formula", "architecture", "classic, or a model with its shape");
  }
  TrainingPlan plan;
  plan.name = std::to_string(model.parameters) + " parameters";
  plan.architecture = "textbook decoder";
  plan.parameters = model.parameters;
  plan.layers = model.layers;
  plan.options = options;
  plan.activation_formula = ActivationFormula::kClassic;
  return PlanModel(std::move(plan), model);
}

}  // namespace plimsoll
