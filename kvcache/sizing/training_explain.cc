#include "kvcache/sizing/training_explain.h"

#include <array>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"

namespace plimsoll {
namespace {

// What a term is in symbols, why it is held, and who says so. P parameters, b sequences of s
// tokens, h hidden, a heads, k kv heads, d head width, f FFN width, V vocabulary, L layers.
struct TermWords {
  std::string_view name, formula, why, source;
};

constexpr std::string_view kMixed = "Micikevicius et al., Mixed precision training, 2018";
constexpr std::string_view kZero = "Rajbhandari et al., ZeRO, 2020";
constexpr std::string_view kZeroCode = "defaults of DeepSpeed, deepspeed/runtime/zero/config.py";
constexpr std::string_view kKorthikanti =
    "Korthikanti et al., Reducing activation recomputation, 2022";
constexpr std::string_view kDerived = "derived from the shape of the layer; not measured";
constexpr std::string_view kQlora = "Dettmers et al., QLoRA, 2023";
constexpr std::string_view kOffloadCode =
    "defaults of DeepSpeed, deepspeed/runtime/zero/offload_config.py";

constexpr std::array<TermWords, 24> kStates = {{
    {"weights", "P x w", "the forward and the backward pass read every weight", kMixed},
    {"base_weights", "P x 2, or 4.127 bits a parameter of matrices in nf4",
     "the frozen model is read, never changed", kQlora},
    {"adapter_weights", "sum of r x (in + out) x 4",
     "the two small matrices beside each adapted one are trained in fp32", "Hu et al., LoRA, 2021"},
    {"gradients", "P x g", "backward leaves one number for each trained parameter", kMixed},
    {"master_weights", "P x 4", "small updates would round away in 16 bits", kMixed},
    {"moments", "P x 8, or 2 and 8 / 256 in 8 bits, or 4 for one moment",
     "Adam keeps running means of the gradient and of its square",
     "Kingma and Ba, 2015; in 8 bits Dettmers et al., 2022"},
    {"gradient_bucket", "min(5e8, P) x g", "gradients are reduced or moved away a bucket at a time",
     kZeroCode},
    {"gather_bucket", "min(5e8, P) x w", "updated weights are gathered a bucket at a time",
     kZeroCode},
    {"live_weights", "min(1e9, P) x w",
     "stage 3 gathers weights before use, and keeps so many at once", kZeroCode},
    {"prefetched_weights", "min(5e7, P - 1e9) x w", "the next weights are gathered ahead of use",
     kZeroCode},
    {"unpartitioned_weights", "(parameters in tensors of at most 1e5) x w",
     "small tensors stay whole on every GPU", kZeroCode},
    {"dequantised_matrix", "largest matrix x 2", "nf4 is turned into 16 bits one matrix at a time",
     kQlora},
    {"host_weights", "P x w / N", "offload of stage 3 moves weights to host memory", kZero},
    {"host_gradients", "P x 4 / N", "the optimizer runs on the host and wants its gradients there",
     kZero},
    {"host_master_weights", "P x 4 / N", "the optimizer runs on the host", kZero},
    {"host_moments", "P x 8 / N", "the optimizer runs on the host", kZero},
    {"host_state_buffers", "4 x min(1e9, P / N) x 4",
     "states pass through host memory on their way to disk and back", kOffloadCode},
    {"host_weight_buffers", "5 x 1e8 x w", "weights pass through host memory too", kOffloadCode},
    {"nvme_weights", "P x w / N - 1e9 x w", "what host memory does not keep", kOffloadCode},
    {"nvme_gradients", "P x 4 / N", "offload to disk moves them beyond host memory", kZero},
    {"nvme_master_weights", "P x 4 / N", "offload to disk moves them beyond host memory", kZero},
    {"nvme_moments", "P x 8 / N", "offload to disk moves them beyond host memory", kZero},
    {"layer_inputs", "2sbh x L", "full recompute keeps the input of each layer, and no more",
     kKorthikanti},
    {"recomputed_layer", "the widest layer's saved tensors",
     "while a layer is computed again its tensors are all there", kDerived},
}};

constexpr std::array<TermWords, 13> kClassicTerms = {{
    {"norm_inputs", "4sbh x L", "two layer norms, each needs its input, 2sbh", kKorthikanti},
    {"qkv_input", "2sbh x L", "q, k and v are computed from one tensor", kKorthikanti},
    {"queries_and_keys", "4sbh x L", "both factors of Q K^T are needed for each other's gradient",
     kKorthikanti},
    {"values", "2sbh x L", "the factor of the product of scores and values", kKorthikanti},
    {"softmax_output", "2as^2b x L", "the softmax's gradient is computed from its output",
     kKorthikanti},
    {"softmax_dropout_mask", "as^2b x L", "one byte for each score", kKorthikanti},
    {"softmax_dropout_output", "2as^2b x L", "the other factor of scores and values", kKorthikanti},
    {"attention_output", "2sbh x L", "the input of the output projection", kKorthikanti},
    {"attention_dropout_mask", "sbh x L", "one byte for each value", kKorthikanti},
    {"ffn_input", "2sbh x L", "the input of the first matrix", kKorthikanti},
    {"gelu_input", "8sbh x L", "GELU's gradient needs its input, 4h wide", kKorthikanti},
    {"gelu_output", "8sbh x L", "the input of the second matrix, 4h wide", kKorthikanti},
    {"ffn_dropout_mask", "sbh x L", "one byte for each value", kKorthikanti},
}};

constexpr std::array<TermWords, 14> kArchitectureTerms = {{
    {"norm_inputs", "e x s x b x (widths of norms)", "each norm needs its input", kDerived},
    {"projection_inputs", "e x 2sbh x L", "attention and FFN each read one tensor", kDerived},
    {"queries", "e x sb x a x d x L", "flash attention computes scores again from q, k and v",
     "Dao et al., FlashAttention, 2022"},
    {"keys_and_values", "e x sb x 2k x d x L",
     "flash attention computes scores again from q, k and v", "Dao et al., FlashAttention, 2022"},
    {"attention_output", "e x sb x a x d x L", "the input of the output projection", kDerived},
    {"log_sum_exp", "4 x sb x a x L", "one fp32 number by which scores are computed again",
     "Dao et al., FlashAttention, 2022"},
    {"ffn_values", "e x sb x 4f x L",
     "gate, up, activated gate and their product; without a gate, two of them", kDerived},
    {"recurrent_values_estimated", "e x sb x 2 x (widths of first projections)",
     "what a recurrent layer saves, by the widths of its projections", "an estimate"},
    {"expert_copies", "e x sb x 2h x (experts of a token) x L",
     "each token goes into its experts and comes out of them", kDerived},
    {"router_scores", "4 x sb x E x L", "the softmax over experts, in fp32", kDerived},
    {"adapter_values", "2 x sb x r x (adapters)", "the input of each adapter's second matrix",
     kDerived},
    {"last_norm_input", "e x sbh", "the norm before the head", kDerived},
    {"head_input", "e x sbh", "the input of the head", kDerived},
    {"logits", "4 x sbV", "the loss and its gradient are computed from logits in fp32", kDerived},
}};

template <size_t n>
const TermWords* Find(const std::array<TermWords, n>& table, std::string_view term) {
  for (const TermWords& words : table) {
    if (words.name == term) return &words;
  }
  return nullptr;
}

const TermWords* WordsOf(const TrainingPlan& plan, std::string_view term) {
  if (const TermWords* const state = Find(kStates, term)) return state;
  // Moved by offload, and there for the same reason as on the GPU.
  const size_t place = term.find('_');
  if (term.substr(0, place) == "host" || term.substr(0, place) == "nvme") {
    return Find(kStates, term.substr(place + 1));
  }
  if (plan.activation_formula == ActivationFormula::kClassic) return Find(kClassicTerms, term);
  return Find(kArchitectureTerms, term);
}

std::string ByteText(Bytes bytes) {
  return std::to_string(bytes.value()) + " bytes = " + FormatSize(bytes);
}

Explanation OfTerm(const TrainingPlan& plan, const TrainingTerm& term) {
  Explanation explanation{.term = term.term,
                          .formula = term.formula,
                          .steps = {},
                          .value = term.bytes.value(),
                          .unit = "bytes"};
  if (const TermWords* const words = WordsOf(plan, term.term)) {
    explanation.formula = std::string(words->formula);
    explanation.steps.push_back({std::string(words->why), std::string(words->source)});
  }
  explanation.steps.push_back({"= " + term.formula, "this plan"});
  explanation.steps.push_back({"= " + ByteText(term.bytes), ""});
  return explanation;
}

// A group, as the sum of its terms.
Explanation OfGroup(const TrainingPlan& plan, std::string_view name, auto is_in) {
  Explanation explanation{.term = std::string(name),
                          .formula = "the sum of its terms",
                          .steps = {},
                          .value = 0,
                          .unit = "bytes"};
  for (const TrainingTerm& term : plan.formulas) {
    if (!is_in(term)) continue;
    explanation.steps.push_back({term.term + " = " + ByteText(term.bytes), term.formula});
    explanation.value += term.bytes.value();
  }
  explanation.steps.push_back({"= " + ByteText(Bytes(explanation.value)), ""});
  return explanation;
}

constexpr std::array<TrainingGroup, 7> kGroups = {
    TrainingGroup::kWeights,     TrainingGroup::kGradients, TrainingGroup::kOptimizer,
    TrainingGroup::kActivations, TrainingGroup::kBuffers,   TrainingGroup::kHost,
    TrainingGroup::kNvme};

}  // namespace

std::vector<std::string> ExplainableTerms(const TrainingPlan& plan) {
  std::vector<std::string> names;
  for (const TrainingTerm& term : plan.formulas) names.push_back(term.term);
  for (const TrainingGroup group : kGroups) {
    for (const TrainingTerm& term : plan.formulas) {
      if (term.group != group) continue;
      names.emplace_back(NameOf(group));
      break;
    }
  }
  names.emplace_back("total");
  return names;
}

absl::StatusOr<Explanation> ExplainTerm(const TrainingPlan& plan, std::string_view term) {
  for (const TrainingTerm& held : plan.formulas) {
    if (held.term == term) return OfTerm(plan, held);
  }
  if (term == "total") {
    return OfGroup(plan, term,
                   [](const TrainingTerm& held) { return held.group < TrainingGroup::kHost; });
  }
  for (const TrainingGroup group : kGroups) {
    if (NameOf(group) != term) continue;
    return OfGroup(plan, term, [&](const TrainingTerm& held) { return held.group == group; });
  }
  std::string names;
  for (const std::string& name : ExplainableTerms(plan))
    names += (names.empty() ? "" : ", ") + name;
  return BadField("explain", Excerpt(term), "one of " + names);
}

}  // namespace plimsoll
