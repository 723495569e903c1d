#include "kvcache/sizing/training_plan.h"

#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/sizing/training_activations.h"
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

// Bytes that states and buffers take on each GPU with `replicas` of the model.
Bytes HeldWith(int64_t replicas, const TrainingParameters& parameters, TrainingOptions options) {
  options.gpus = replicas * options.tensor_parallel;
  Bytes held;
  for (const TrainingTerm& term : PlaceStates(parameters, options).terms) {
    if (term.group != TrainingGroup::kHost && term.group != TrainingGroup::kNvme) {
      held += term.bytes;
    }
  }
  return held;
}

// The fewest replicas with which ZeRO's parts and the activations fit in `usable`.
std::optional<int64_t> FewestReplicas(Bytes usable, const TrainingParameters& parameters,
                                      const TrainingPlan& plan) {
  const auto fits = [&](int64_t replicas) {
    return HeldWith(replicas, parameters, plan.options) + plan.activations_bytes <= usable;
  };
  int64_t enough = kMaxTrainingGpus / plan.options.tensor_parallel;
  if (!fits(enough)) return std::nullopt;
  int64_t too_few = 0;
  while (enough - too_few > 1) {
    const int64_t middle = too_few + (enough - too_few) / 2;
    (fits(middle) ? enough : too_few) = middle;
  }
  return enough;
}

void CountGpus(const TrainingParameters& parameters, TrainingPlan& plan) {
  const TrainingOptions& options = plan.options;
  if (!options.device_bytes) return;
  const int64_t ranks = options.tensor_parallel;
  const Bytes usable =
      *options.device_bytes > options.runtime ? *options.device_bytes - options.runtime : Bytes(0);
  if (options.zero_stage > 0) {
    plan.gpus_needed_rule =
        "ZeRO-" + std::to_string(options.zero_stage) + " splits its states until each part fits";
    const std::optional<int64_t> replicas = FewestReplicas(usable, parameters, plan);
    if (replicas) plan.gpus_needed = *replicas * ranks;
    return;
  }
  plan.gpus_needed_rule = "one replica's bytes over the memory of one GPU, rounded up";
  if (usable == Bytes(0)) return;
  plan.gpus_needed = plan.total_bytes <= usable
                         ? ranks
                         : CeilDivide(plan.total_bytes.value() * ranks, usable.value());
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

// Everything after the model has been read: states, activations, sums, GPUs.
absl::StatusOr<TrainingPlan> Finish(TrainingPlan plan, const TrainingParameters& parameters,
                                    absl::StatusOr<std::vector<TrainingTerm>> activations) {
  if (!activations.ok()) return activations.status();
  TrainingPlacement placement = PlaceStates(parameters, plan.options);
  plan.parameters = parameters.total;
  plan.trained_parameters = parameters.trained_whole;
  plan.host = placement.host;
  plan.nvme = placement.nvme;
  plan.formulas = std::move(placement.terms);
  for (TrainingTerm& term : *activations) plan.formulas.push_back(std::move(term));
  AddUp(plan);
  if (plan.total_bytes.value() > kMaxBytes.value() / plan.options.tensor_parallel) {
    return BadField("total", FormatSize(plan.total_bytes), "at most 1 EiB over all GPUs");
  }
  CountGpus(parameters, plan);
  return plan;
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
  const absl::StatusOr<TrainingParameters> parameters = TrainingParametersOf(model, options);
  if (!parameters.ok()) return parameters.status();
  TrainingPlan plan;
  plan.name = model.name;
  plan.architecture = model.architecture;
  plan.layers = model.layers;
  plan.textbook_parameters = TextbookParameters(model);
  plan.options = options;
  plan.activation_formula = options.activation_formula.value_or(ActivationFormula::kArchitecture);
  auto activations = plan.activation_formula == ActivationFormula::kClassic
                         ? ClassicActivations(ClassicShapeOf(model), options)
                         : ArchitectureActivations(model, options);
  return Finish(std::move(plan), *parameters, std::move(activations));
}

absl::StatusOr<TrainingPlan> PlanTraining(const TextbookModel& model,
                                          const TrainingOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckTrainingOptions(options));
  PLIMSOLL_RETURN_IF_ERROR(CheckShape(model));
  if (options.activation_formula == ActivationFormula::kArchitecture) {
    return BadField("activation_formula", "architecture", "classic, or a model with its shape");
  }
  const absl::StatusOr<TrainingParameters> parameters = TrainingParametersOf(model, options);
  if (!parameters.ok()) return parameters.status();
  TrainingPlan plan;
  plan.name = std::to_string(model.parameters) + " parameters";
  plan.architecture = "textbook decoder";
  plan.layers = model.layers;
  plan.options = options;
  plan.activation_formula = ActivationFormula::kClassic;
  const ClassicShape shape{
      .hidden = model.hidden, .layers = model.layers, .heads = model.heads * model.layers};
  return Finish(std::move(plan), *parameters, ClassicActivations(shape, options));
}

}  // namespace plimsoll
