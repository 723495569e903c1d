#include "kvcache/sizing/training_activations.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "kvcache/sizing/training_activation_lines.h"

namespace plimsoll {
namespace {

// A tensor that a layer saves: `of_hidden` bytes for each token and hidden value, `of_scores` for
// each head and pair of tokens.
struct ClassicTensor {
  std::string_view name;
  int64_t of_hidden;
  int64_t of_scores;
  SplitBy split;
};

constexpr SplitBy kSequence = SplitBy::kSequenceParallel;
constexpr SplitBy kTensor = SplitBy::kTensorParallel;
// 34 and 5 in all; 10 of the 34 are not split by tensor parallelism alone.
constexpr std::array<ClassicTensor, 13> kClassic = {{
    {"norm_inputs", 4, 0, kSequence},
    {"qkv_input", 2, 0, kSequence},
    {"queries_and_keys", 4, 0, kTensor},
    {"values", 2, 0, kTensor},
    {"softmax_output", 0, 2, kTensor},
    {"softmax_dropout_mask", 0, 1, kTensor},
    {"softmax_dropout_output", 0, 2, kTensor},
    {"attention_output", 2, 0, kTensor},
    {"attention_dropout_mask", 1, 0, kSequence},
    {"ffn_input", 2, 0, kSequence},
    {"gelu_input", 8, 0, kTensor},
    {"gelu_output", 8, 0, kTensor},
    {"ffn_dropout_mask", 1, 0, kSequence},
}};

std::string Text(int64_t n) { return std::to_string(n); }

ActivationLine HiddenLine(const ClassicTensor& tensor, const ClassicShape& shape) {
  return {.term = std::string(tensor.name),
          .formula = Text(tensor.of_hidden) + " x " + Text(shape.hidden) + " hidden x " +
                     Text(shape.layers) + " layers",
          .per_token = CheckedProduct({tensor.of_hidden, shape.hidden, shape.layers}),
          .split = tensor.split};
}

ActivationLine ScoresLine(const ClassicTensor& tensor, const ClassicShape& shape, int64_t tokens) {
  return {.term = std::string(tensor.name),
          .formula = Text(tensor.of_scores) + " x " + Text(shape.heads) +
                     " heads of all layers x " + Text(tokens) + " tokens",
          .per_token = CheckedProduct({tensor.of_scores, shape.heads, tokens}),
          .split = tensor.split};
}

}  // namespace

ClassicShape ClassicShapeOf(const ModelConfig& model) {
  int64_t heads = 0;
  for (const AttentionSpec& layer : model.attention) heads += layer.heads;
  return {.hidden = model.hidden_size, .layers = model.layers, .heads = heads};
}

absl::StatusOr<std::vector<TrainingTerm>> ClassicActivations(const ClassicShape& shape,
                                                             const TrainingOptions& options,
                                                             const TrainingStage& stage) {
  std::vector<ActivationLine> lines;
  if (options.recompute == Recompute::kFull) {
    lines.push_back(HiddenLine({"layer_inputs", 2, 0, SplitBy::kNothing}, shape));
    return TermsOf(lines, options, stage);
  }
  for (const ClassicTensor& tensor : kClassic) {
    if (tensor.of_hidden > 0) lines.push_back(HiddenLine(tensor, shape));
    if (tensor.of_scores > 0 && options.recompute == Recompute::kNone) {
      lines.push_back(ScoresLine(tensor, shape, options.sequence.value()));
    }
  }
  return TermsOf(lines, options, stage);
}

}  // namespace plimsoll
