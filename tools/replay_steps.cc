// `plimsoll replay` step by step: one policy, or all of them.
#include <algorithm>
#include <string>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/inference_plan.h"
#include "tools/output_file.h"
#include "tools/replay/policy_sweep.h"
#include "tools/replay/step_simulation.h"
#include "tools/replay/sweep_page.h"
#include "tools/replay_arguments.h"

namespace plimsoll {
namespace {

absl::StatusOr<Blocks> PlannedBlocks(const ModelConfig& model, const ReplayArguments& arguments) {
  const absl::StatusOr<Bytes> memory = ParseSize(arguments.memory, "--memory");
  if (!memory.ok()) return memory.status();
  InferenceOptions options{.device_bytes = *memory, .weights = std::nullopt, .kv = std::nullopt};
  options.block_tokens = Tokens(arguments.block_tokens);
  const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
  if (!plan.ok()) return plan.status();
  if (plan->fits()) return plan->blocks;
  return absl::ResourceExhaustedError(model.name + ": does not fit in --memory " +
                                      arguments.memory + ": " + FormatSize(plan->shortfall_bytes) +
                                      " short");
}

absl::StatusOr<StepOptions> StepsAsked(const ReplayArguments& arguments) {
  const absl::StatusOr<SimulationOptions> pool = PoolToSimulate(arguments);
  if (!pool.ok()) return pool.status();
  const absl::StatusOr<DeclaredLength> declared =
      ParseDeclaredLength(arguments.declare, "--declare");
  if (!declared.ok()) return declared.status();
  StepOptions options{
      .blocks = pool->blocks,
      .block_tokens = pool->block_tokens,
      .context = std::min(pool->max_context, Tokens(arguments.context.value_or(kMaxTokens)))};
  options.policy = {.policy = PolicyFromName(arguments.policy).value_or(Policy::kNeverEvict),
                    .watermark = arguments.watermark,
                    .overflow_goal = arguments.overflow_goal};
  options.victim = VictimRuleFromName(arguments.victim).value_or(VictimRule::kNewest);
  options.declared = *declared;
  options.seed = arguments.seed;
  options.eviction = pool->eviction;
  options.backlog = arguments.backlog;
  return options;
}

}  // namespace

absl::StatusOr<SimulationOptions> PoolToSimulate(const ReplayArguments& arguments) {
  SimulationOptions options{.blocks = Blocks(arguments.blocks.value_or(0)),
                            .block_tokens = Tokens(arguments.block_tokens)};
  options.eviction = EvictionFromName(arguments.eviction).value_or(Eviction::kOff);
  if (arguments.model.empty()) return options;
  const absl::StatusOr<ModelConfig> model = ReadModelConfig(arguments.model);
  if (!model.ok()) return model.status();
  options.max_context = model->max_context;
  if (arguments.blocks) return options;
  const absl::StatusOr<Blocks> blocks = PlannedBlocks(*model, arguments);
  if (!blocks.ok()) return blocks.status();
  options.blocks = *blocks;
  return options;
}

bool DecodesStepByStep(const ReplayArguments& arguments) {
  return arguments.backlog || !arguments.policy.empty() || !arguments.sweep.empty();
}

absl::Status CheckSteps(const ReplayArguments& arguments) {
  const bool steps = DecodesStepByStep(arguments);
  if (steps && !arguments.simulate) {
    return absl::InvalidArgumentError("replay: --backlog, --policy and --sweep go with --simulate");
  }
  if (!steps && arguments.declare != "true") {
    return absl::InvalidArgumentError("replay: --declare goes with --policy, --backlog or --sweep");
  }
  return absl::OkStatus();
}

absl::StatusOr<ReplayReport> RunSteps(const ReplayArguments& arguments, const Workload& workload) {
  const absl::StatusOr<StepOptions> options = StepsAsked(arguments);
  if (!options.ok()) return options.status();
  return SimulateSteps(workload, *options);
}

absl::StatusOr<std::string> RunSweep(const ReplayArguments& arguments, const Workload& workload) {
  const absl::StatusOr<StepOptions> options = StepsAsked(arguments);
  if (!options.ok()) return options.status();
  const absl::StatusOr<PolicySweep> sweep = SweepPolicies(workload, *options);
  if (!sweep.ok()) return sweep.status();
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(arguments.sweep, SweepAsHtml(*sweep)));
  return arguments.format == "json" ? ToJson(*sweep) : ToText(*sweep);
}

}  // namespace plimsoll
