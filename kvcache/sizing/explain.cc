#include "kvcache/sizing/explain.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/sizing/block_demand.h"
#include "kvcache/sizing/explain_tensors.h"
#include "kvcache/sizing/kv_bytes.h"
#include "kvcache/sizing/parallel_split.h"
#include "kvcache/sizing/plan_options.h"

namespace plimsoll {
namespace {

std::string Text(int64_t n) { return std::to_string(n); }
std::string Text(Bytes bytes) { return Text(bytes.value()) + " bytes"; }

const PlanTerm* FindTerm(const InferencePlan& plan, std::string_view name) {
  for (const PlanTerm& term : plan.formulas) {
    if (term.term == name) return &term;
  }
  return nullptr;
}

// The symbols of the terms whose figures are all options or widths of the model.
struct Symbols {
  std::string_view term;
  std::string_view formula;
  std::string_view letters;  // which of those in StepOf it is made of
};
constexpr std::array<Symbols, 8> kSymbols = {{
    {"attention",
     "(P + B x Hkv) x H / Hkv x (D + 2) x 4; without flash attention H x T x min(T, "
     "context) x 4",
     "TBH"},
    {"input", "T x d x e", "Tde"},
    {"output", "T x d x e", "Tde"},
    {"logits", "B x R x V x 4", "BRV"},
    {"sampler", "V x 16", "V"},
    {"activations", "T x (4d + e(d + (H + 2Hkv)D + HD + 3F)), of the widest layer", "TdeHF"},
    {"dequantisation", "the largest matrix in 16 bits, at most 32 MiB", "W"},
    {"exchange",
     "T x d x e for the sum over t > 1 GPUs, again between p > 1 stages, and K / t times that for "
     "experts beyond those GPUs",
     "Tdetp"},
}};

// What the figures of the plan are of: all of the model, or one GPU's share of it.
ModelConfig ShareOfPlan(const ModelConfig& model, const InferenceOptions& options,
                        const InferencePlan& plan) {
  ModelConfig share = options.decompress_latent ? WithLatentDecompressed(model) : model;
  return plan.gpus > 1 ? ShareOf(share, SplitOf(options), plan.stage) : share;
}

ExplainStep HeadsStep(const ModelConfig& model) {
  if (model.attention.empty()) return {"no layer with attention", "the model's kinds of layers"};
  const AttentionSpec& widest =
      *std::max_element(model.attention.begin(), model.attention.end(),
                        [](const AttentionSpec& a, const AttentionSpec& b) {
                          return a.heads * a.head_dim < b.heads * b.head_dim;
                        });
  return {"H = " + Text(widest.heads) + " heads, Hkv = " + Text(widest.kv_heads) +
              " kv heads, D = " + Text(widest.head_dim),
          "num_attention_heads, num_key_value_heads, head_dim of the model"};
}

ExplainStep StepOf(char letter, const ModelConfig& model, const InferenceOptions& options,
                   const InferencePlan& plan) {
  switch (letter) {
    case 'T':
      return {"T = " + Text(options.max_batched_tokens.value()) + " tokens of one step",
              "--max-batched-tokens"};
    case 'd':
      return {"d = " + Text(model.hidden_size) + " hidden", "hidden_size of the model"};
    case 'e':
      return {"e = " + Text(BitsOf(plan.weights_type) == 32 ? 4 : 2) + " bytes of an activation",
              "2, or 4 beside weights of 32 bits; weights are " + plan.weights_format};
    case 'B':
      return {"B = " + Text(options.max_sequences) + " sequences of one step", "--max-sequences"};
    case 'R':
      return {"R = " + Text(1 + options.lookahead_tokens.value()) + " rows of a sequence",
              "1, and --lookahead-tokens"};
    case 't':
      return {"t = " + Text(options.tensor_parallel), "--tensor-parallel"};
    case 'p':
      return {"p = " + Text(options.pipeline_parallel), "--pipeline-parallel"};
    case 'V':
      return {"V = " + Text(model.vocab_size) + " vocabulary", "vocab_size of the model"};
    case 'H':
      return HeadsStep(model);
    case 'F':
      return {"F = " + Text(std::max(model.widest_ffn, model.intermediate_size)) +
                  " values inside the FFN of one token",
              "intermediate_size of the model, of all experts that one token meets"};
    default:
      return {"weights are kept as " + plan.weights_format, "--weights or the checkpoint"};
  }
}

// A term as the plan itself derives it, with its symbols where they are known.
Explanation ExplainPlanTerm(const ModelConfig& model, const InferenceOptions& options,
                            const InferencePlan& plan, const PlanTerm& term) {
  Explanation explanation{.term = term.term,
                          .formula = term.formula,
                          .steps = {},
                          .value = term.bytes.value(),
                          .unit = "bytes"};
  for (const Symbols& symbols : kSymbols) {
    if (symbols.term != term.term) continue;
    explanation.formula = symbols.formula;
    for (const char letter : symbols.letters) {
      explanation.steps.push_back(StepOf(letter, model, options, plan));
    }
  }
  if (term.term == "weights") {
    explanation.formula = "sum over tensors of elements x bytes of an element, and scales";
    explanation.steps = TensorSteps(model);
  }
  explanation.steps.push_back({term.formula + " = " + Text(term.bytes), ""});
  return explanation;
}

Explanation ExplainBudget(const InferencePlan& plan) {
  return {.term = "budget",
          .formula = "floor(device x utilization)",
          .steps = {{"device = " + Text(plan.device_bytes), "--memory, or the memory of --gpu"},
                    {"utilization = " + std::to_string(plan.utilization), "--utilization"},
                    {"rounded down: " + Text(plan.budget_bytes), ""}},
          .value = plan.budget_bytes.value(),
          .unit = "bytes"};
}

// Cut out of what the other terms leave.
bool IsOfPool(const PlanTerm& term) { return term.term == "kv" || term.term == "draft kv"; }

// What the terms leave of the budget, term by term.
void AddLeft(const InferencePlan& plan, std::vector<ExplainStep>& steps) {
  steps.push_back({"budget " + Text(plan.budget_bytes), "--explain budget"});
  const auto minus = [&](std::string_view name, Bytes bytes) {
    if (bytes == Bytes(0)) return;
    steps.push_back({"- " + Text(bytes) + " of " + std::string(name), ""});
  };
  Bytes terms = plan.margin_bytes;
  for (const PlanTerm& term : plan.formulas) {
    if (IsOfPool(term)) continue;
    minus(term.term, term.bytes);
    terms += term.bytes;
  }
  minus("margin", plan.margin_bytes);
  steps.push_back({plan.budget_bytes >= terms
                       ? "leaves " + Text(plan.budget_bytes - terms)
                       : "leaves nothing: " + Text(terms - plan.budget_bytes) + " too much",
                   ""});
}

void AddBlocks(const InferencePlan& plan, std::vector<ExplainStep>& steps) {
  AddLeft(plan, steps);
  steps.push_back({"over " + Text(plan.block_bytes) +
                       " of a block, rounded down: " + Text(plan.blocks.value()) + " blocks",
                   "--explain kv"});
}

Explanation ExplainBlocks(const InferencePlan& plan) {
  Explanation explanation{.term = "blocks",
                          .formula = "floor((budget - all terms) / bytes of a block)",
                          .steps = {},
                          .value = plan.blocks.value(),
                          .unit = "blocks"};
  AddBlocks(plan, explanation.steps);
  return explanation;
}

Explanation ExplainKv(const ModelConfig& model, const InferencePlan& plan) {
  Explanation explanation{.term = "kv",
                          .formula =
                              "blocks x tokens of a block x sum over layers of K and V of "
                              "one token",
                          .steps = KvSteps(model, plan.kv_type),
                          .value = plan.kv_pool_bytes.value(),
                          .unit = "bytes"};
  explanation.steps.push_back(
      {plan.kv_bytes_per_token > Bytes(0)
           ? "a block has " + Text(plan.block_tokens.value()) + " tokens: " + Text(plan.block_bytes)
           : "a block is the state of one sequence: " + Text(plan.block_bytes),
       "--block-tokens"});
  AddBlocks(plan, explanation.steps);
  explanation.steps.push_back({Text(plan.blocks.value()) + " blocks x " + Text(plan.block_bytes) +
                                   " = " + Text(plan.kv_pool_bytes),
                               ""});
  return explanation;
}

Explanation ExplainTokens(const InferencePlan& plan) {
  return {.term = "tokens",
          .formula = "blocks x tokens of a block",
          .steps = {{Text(plan.blocks.value()) + " blocks", "--explain blocks"},
                    {Text(plan.block_tokens.value()) + " tokens of a block", "--block-tokens"},
                    {"together " + Text(plan.tokens.value()) + " tokens", ""}},
          .value = plan.tokens.value(),
          .unit = "tokens"};
}

Explanation ExplainSequences(const InferencePlan& plan) {
  Explanation explanation{.term = "sequences",
                          .formula =
                              "most n with n x (ceil(context / tokens of a block) x bytes "
                              "of a block + state) <= pool",
                          .steps = {},
                          .value = 0,
                          .unit = "sequences"};
  explanation.steps = {
      {"the pool: " + Text(plan.kv_pool_bytes), "--explain kv"},
      {"a block: " + Text(plan.block_tokens.value()) + " tokens, " + Text(plan.block_bytes),
       "--block-tokens"}};
  if (plan.sequence_state_bytes > Bytes(0)) {
    explanation.steps.push_back(
        {"state of one sequence: " + Text(plan.sequence_state_bytes), "--explain state"});
  }
  if (plan.shared_prefix > Tokens(0)) {
    explanation.steps.push_back(
        {"full blocks of the first " + Text(plan.shared_prefix.value()) + " tokens are there once",
         "--shared-prefix"});
  }
  for (const ContextCapacity& row : plan.max_sequences) {
    const Blocks each = BlocksForSequence(row.context + plan.lookahead_tokens, plan.block_tokens);
    explanation.steps.push_back({Text(row.context.value()) + " tokens take " + Text(each.value()) +
                                     " blocks each: " + Text(row.sequences) + " sequences",
                                 ""});
    explanation.value = row.sequences;
  }
  return explanation;
}

// A figure that the plan has, with one line of where it comes from.
Explanation ExplainFigure(std::string term, std::string formula, std::string source, int64_t value,
                          std::string unit) {
  ExplainStep step{Text(value) + " " + unit, std::move(source)};
  return {.term = std::move(term),
          .formula = std::move(formula),
          .steps = {std::move(step)},
          .value = value,
          .unit = std::move(unit)};
}

std::optional<Explanation> ExplainCapacity(const ModelConfig& model, const InferencePlan& plan,
                                           std::string_view term) {
  if (term == "kv") return ExplainKv(model, plan);
  if (term == "budget") return ExplainBudget(plan);
  if (term == "blocks") return ExplainBlocks(plan);
  if (term == "tokens") return ExplainTokens(plan);
  if (term == "sequences") return ExplainSequences(plan);
  if (term == "margin") {
    return ExplainFigure("margin", "as given", "--margin", plan.margin_bytes.value(), "bytes");
  }
  if (term == "unused") {
    return ExplainFigure("unused", "budget - all terms - pool",
                         "what is left after whole blocks; less than one",
                         plan.unused_bytes.value(), "bytes");
  }
  if (term == "context") {
    return ExplainFigure(
        "context", "least of the pool's tokens for one sequence and the model's own",
        "the model's own is " + Text(model.max_context.value()) + " (max_position_embeddings)",
        plan.longest_context.value(), "tokens");
  }
  if (term == "window" && plan.window_bytes_per_sequence > Bytes(0)) {
    return ExplainFigure("window", "sum over layers with a window of window x K and V of one token",
                         "sliding_window and layer_types of the model",
                         plan.window_bytes_per_sequence.value(), "bytes");
  }
  if (term == "state" && plan.state_bytes_per_sequence > Bytes(0)) {
    return ExplainFigure("state", "sum over recurrent layers of convolution and state",
                         Text(std::ssize(model.recurrent)) + " recurrent layers of the model",
                         plan.state_bytes_per_sequence.value(), "bytes");
  }
  return std::nullopt;
}

std::string Joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

}  // namespace

std::vector<std::string> ExplainableTerms(const InferencePlan& plan) {
  std::vector<std::string> terms;
  for (const PlanTerm& term : plan.formulas) terms.push_back(term.term);
  for (const char* const name :
       {"margin", "unused", "budget", "blocks", "tokens", "context", "sequences"}) {
    if (FindTerm(plan, name) == nullptr) terms.emplace_back(name);
  }
  if (plan.window_bytes_per_sequence > Bytes(0)) terms.emplace_back("window");
  if (plan.state_bytes_per_sequence > Bytes(0)) terms.emplace_back("state");
  return terms;
}

absl::StatusOr<Explanation> ExplainTerm(const ModelConfig& model, const InferenceOptions& options,
                                        std::string_view term) {
  const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
  if (!plan.ok()) return plan.status();
  const ModelConfig share = ShareOfPlan(model, options, *plan);
  std::optional<Explanation> capacity = ExplainCapacity(share, *plan, term);
  if (capacity) return *std::move(capacity);
  const PlanTerm* const found = FindTerm(*plan, term);
  if (found != nullptr) return ExplainPlanTerm(share, options, *plan, *found);
  return BadField("explain", Excerpt(term), "one of " + Joined(ExplainableTerms(*plan)));
}

}  // namespace plimsoll
