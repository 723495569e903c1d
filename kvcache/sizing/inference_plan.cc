#include "kvcache/sizing/inference_plan.h"

#include <algorithm>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/sizing/block_demand.h"
#include "kvcache/sizing/buffer_bytes.h"
#include "kvcache/sizing/cache_layout.h"
#include "kvcache/sizing/kv_bytes.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

constexpr Tokens kFirstRung = Tokens(1024);  // of the default ladder of contexts

absl::Status CheckRange(std::string_view field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return BadField(field, value, std::to_string(min) + " to " + std::to_string(max));
}

absl::Status CheckContexts(const std::vector<Tokens>& contexts) {
  for (const Tokens context : contexts) {
    PLIMSOLL_RETURN_IF_ERROR(CheckRange("context", context.value(), 1, kMaxTokens));
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const InferenceOptions& options) {
  const int64_t most = kMaxBytes.value();
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("device_bytes", options.device_bytes.value(), 1, most));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("margin", options.margin.value(), 0, most));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("runtime", options.runtime.value(), 0, most));
  if (!(options.utilization > 0.0 && options.utilization <= 1.0)) {
    return BadField("utilization", std::to_string(options.utilization), "above 0, at most 1");
  }
  PLIMSOLL_RETURN_IF_ERROR(CheckBlockTokens(options.block_tokens));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("max_batched_tokens", options.max_batched_tokens.value(), 1, kMaxBatchedTokens));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("max_sequences", options.max_sequences, 1, kMaxPlannedSequences));
  return CheckContexts(options.contexts);
}

// floor(device * utilization), with the one product in double.
Bytes BudgetOf(Bytes device, double utilization) {
  const double product = static_cast<double>(device.value()) * utilization;
  return std::min(Bytes(static_cast<int64_t>(product)), device);
}

void DescribeModel(const ModelConfig& model, InferencePlan& plan) {
  plan.name = model.name;
  plan.architecture = model.architecture;
  plan.parameters = model.Parameters();
  plan.parameters_stored = model.StoredParameters();
  plan.parameters_active = model.ActiveParameters();
  plan.layers = model.layers;
  plan.left_out = model.left_out;
}

// As the options say, or as the checkpoint is stored.
WeightBytes CountWeights(const ModelConfig& model, const InferenceOptions& options,
                         InferencePlan& plan) {
  const WeightFormat format = options.weights ? *options.weights : StoredFormatOf(model);
  plan.weights_type = WidthOf(format);
  plan.weights_format = NameOf(format);
  return WeightBytesOf(model, format);
}

// Every term but the pool, with its formula.
void AddTerms(const ModelConfig& model, const InferenceOptions& options, InferencePlan& plan) {
  const auto add = [&](std::string term, Bytes bytes, std::string formula) {
    plan.formulas.push_back({std::move(term), std::move(formula), bytes});
    return bytes;
  };
  const WeightBytes weights = CountWeights(model, options, plan);
  plan.weights_bytes = add("weights", weights.total, weights.formula);
  const BufferBytes hidden = HiddenStateBytes(model, plan.weights_type, options.max_batched_tokens);
  plan.io_bytes += add("input", hidden.bytes, hidden.formula);
  plan.io_bytes += add("output", hidden.bytes, hidden.formula);
  const BufferBytes logits = LogitBytes(model, options.max_sequences);
  plan.io_bytes += add("logits", logits.bytes, logits.formula);
  const BufferBytes layer = ActivationBytes(model, plan.weights_type, options.max_batched_tokens);
  plan.activation_bytes += add("activations", layer.bytes, layer.formula);
  const BufferBytes slice = DequantisationBytes(model, plan.weights_type);
  if (slice.bytes > Bytes(0)) {
    plan.activation_bytes += add("dequantisation", slice.bytes, slice.formula);
  }
  plan.runtime_bytes = add("runtime", options.runtime, options.runtime_formula);
  plan.margin_bytes = options.margin;
}

bool KeepsTokens(const InferencePlan& plan) { return plan.kv_bytes_per_token > Bytes(0); }

// What one sequence takes from the pool beside its blocks.
Bytes StateBesideBlocks(const InferencePlan& plan) {
  return KeepsTokens(plan) ? plan.state_bytes_per_sequence : Bytes(0);
}

std::string PoolFormula(const InferencePlan& plan, const std::string& token_formula) {
  const std::string blocks = std::to_string(plan.blocks.value()) + " blocks x ";
  if (!KeepsTokens(plan)) {
    return blocks + std::to_string(plan.block_bytes.value()) + " bytes of one sequence's state";
  }
  return blocks + std::to_string(plan.block_tokens.value()) + " tokens x " +
         std::to_string(plan.kv_bytes_per_token.value()) + " bytes (" + token_formula + ")";
}

// Cuts what the terms leave into blocks.
void AddPool(const std::string& token_formula, InferencePlan& plan) {
  const Bytes terms = plan.weights_bytes + plan.draft_bytes + plan.io_bytes +
                      plan.activation_bytes + plan.runtime_bytes + plan.margin_bytes;
  const Bytes left = plan.budget_bytes > terms ? plan.budget_bytes - terms : Bytes(0);
  const Bytes least = plan.block_bytes + StateBesideBlocks(plan);
  if (left >= least) {
    plan.blocks = BlocksFittingIn(left, plan.block_bytes);
  } else {
    plan.shortfall_bytes = terms + least - plan.budget_bytes;
  }
  plan.kv_pool_bytes = plan.block_bytes * plan.blocks.value();
  plan.unused_bytes = left - plan.kv_pool_bytes;
  plan.formulas.push_back({"kv", PoolFormula(plan, token_formula), plan.kv_pool_bytes});
}

// 1024, 2048, ... and the model's own context at the end.
std::vector<Tokens> Ladder(Tokens max_context) {
  std::vector<Tokens> rungs;
  for (Tokens rung = kFirstRung; rung < max_context; rung = rung * 2) rungs.push_back(rung);
  rungs.push_back(max_context);
  return rungs;
}

// How many sequences of `context` the pool holds.
int64_t SequencesOf(Tokens context, const InferencePlan& plan) {
  if (!KeepsTokens(plan)) return plan.blocks.value();
  const Blocks each = BlocksForSequence(context, plan.block_tokens);
  if (each > plan.blocks) return 0;
  return plan.kv_pool_bytes / (plan.block_bytes * each.value() + StateBesideBlocks(plan));
}

// The blocks that one sequence can fill: those that its own state leaves.
Blocks BlocksForOneSequence(const InferencePlan& plan) {
  const Bytes state = StateBesideBlocks(plan);
  if (plan.kv_pool_bytes <= state) return Blocks(0);
  return BlocksFittingIn(plan.kv_pool_bytes - state, plan.block_bytes);
}

void AddCapacity(const ModelConfig& model, const std::vector<Tokens>& contexts,
                 InferencePlan& plan) {
  if (KeepsTokens(plan)) {
    plan.tokens = plan.block_tokens * plan.blocks.value();
    const Tokens alone = plan.block_tokens * BlocksForOneSequence(plan).value();
    plan.longest_context = std::min(alone, model.max_context);
  } else if (plan.fits()) {
    plan.longest_context = model.max_context;
    const auto all = CheckedProduct({plan.blocks.value(), model.max_context.value()});
    plan.tokens = Tokens(all.value_or(kMaxTokens));
  }
  for (const Tokens context : contexts.empty() ? Ladder(model.max_context) : contexts) {
    plan.max_sequences.push_back({context, SequencesOf(context, plan)});
  }
}

}  // namespace

ElementType DefaultKvType(const ModelConfig& model) {
  return model.dtype == ElementType::kFp16 ? ElementType::kFp16 : ElementType::kBf16;
}

Bytes DeviceFor(Bytes budget, double utilization) {
  // The quotient is right but for rounding; the product decides.
  const double quotient = static_cast<double>(budget.value()) / utilization;
  const int64_t most = int64_t{1} << 62;
  int64_t device = quotient < static_cast<double>(most) ? static_cast<int64_t>(quotient) : most;
  while (device < most && BudgetOf(Bytes(device), utilization) < budget) ++device;
  while (device > 1 && BudgetOf(Bytes(device - 1), utilization) >= budget) --device;
  return Bytes(device);
}

absl::StatusOr<InferencePlan> PlanInference(const ModelConfig& model,
                                            const InferenceOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckOptions(options));
  if (model.quantization && !model.storage && !options.weights) {
    return absl::InvalidArgumentError("quantization_config: the checkpoint is stored as " +
                                      Excerpt(*model.quantization) +
                                      "; name the type to plan for with --weights");
  }
  InferencePlan plan{};
  DescribeModel(model, plan);
  plan.kv_type = options.kv.value_or(DefaultKvType(model));
  const KvBytes kv = KvBytesOf(model, plan.kv_type);
  plan.kv_bytes_per_token = kv.per_token;
  plan.kv_bytes_per_token_long = kv.per_token_long;
  plan.window_bytes_per_sequence = kv.window_per_sequence;
  plan.state_bytes_per_sequence = kv.state_per_sequence;
  plan.utilization = options.utilization;
  plan.device_bytes = options.device_bytes;
  plan.budget_bytes = BudgetOf(options.device_bytes, options.utilization);
  plan.block_tokens = options.block_tokens;
  plan.block_bytes =
      kv.per_token > Bytes(0) ? kv.per_token * options.block_tokens.value() : kv.state_per_sequence;
  AddTerms(model, options, plan);
  AddPool(kv.formula, plan);
  AddCapacity(model, options.contexts, plan);
  return plan;
}

}  // namespace plimsoll
