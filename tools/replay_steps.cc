// `plimsoll replay` step by step: one policy, or all of them.
#include <algorithm>
#include <charconv>
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

absl::StatusOr<DeclaredLength> Declared(const std::string& text) {
  if (text == "true") return DeclaredLength{};
  if (text == "power-of-two") return DeclaredLength{DeclaredLength::Rule::kPowerOfTwo};
  if (text == "context") return DeclaredLength{DeclaredLength::Rule::kContext};
  int64_t tokens = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tokens);
  if (error != std::errc() || end != text.data() + text.size() || tokens < 1 ||
      tokens > kMaxTokens) {
    return BadField("--declare", text, "true, power-of-two, context, or a number of tokens");
  }
  return DeclaredLength{DeclaredLength::Rule::kAtLeast, Tokens(tokens)};
}

absl::StatusOr<StepOptions> StepsAsked(const ReplayArguments& arguments) {
  const absl::StatusOr<SimulationOptions> pool = PoolToSimulate(arguments);
  if (!pool.ok()) return pool.status();
  const absl::StatusOr<DeclaredLength> declared = Declared(arguments.declare);
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
  if (!DecodesStepByStep(arguments)) return absl::OkStatus();
  if (!arguments.simulate) {
    return absl::InvalidArgumentError("replay: --backlog, --policy and --sweep go with --simulate");
  }
  if (arguments.eviction.empty() || arguments.eviction == "off") return absl::OkStatus();
  return absl::InvalidArgumentError(
      "replay: --eviction goes without --backlog and --policy: they share no prefixes yet");
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
