#include "kvcache/sizing/training_compute.h"

#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

// Operations of a forward pass for one token.
struct ForwardPass {
  double matrices = 0;  // of layers
  double scores = 0;
  double head = 0;
};

double ShareOf(Recompute recompute, const ForwardPass& pass) {
  const double step = 3 * (pass.matrices + pass.scores + pass.head);
  if (recompute == Recompute::kNone || step <= 0) return 0;
  if (recompute == Recompute::kSelective) return pass.scores / step;
  return (pass.matrices + pass.scores) / step;
}

}  // namespace

double RecomputeOverhead(const ModelConfig& model, const TrainingOptions& options) {
  ForwardPass pass;
  for (const TensorSpec& tensor : model.tensors) {
    if (!IsMatrix(tensor.role) && tensor.role != TensorRole::kRouter) continue;
    const int64_t of_one_expert = tensor.Elements() / tensor.experts;
    pass.matrices += 2 * static_cast<double>(of_one_expert * tensor.active_experts);
  }
  pass.head = 2 * static_cast<double>(model.hidden_size) * static_cast<double>(model.vocab_size);
  for (const AttentionSpec& layer : model.attention) {
    pass.scores += 2 * static_cast<double>(options.sequence.value()) *
                   static_cast<double>(layer.heads * (layer.head_dim + layer.value_dim));
  }
  return ShareOf(options.recompute, pass);
}

double RecomputeOverhead(const TextbookModel& model, const TrainingOptions& options) {
  const auto hidden = static_cast<double>(model.hidden);
  const auto layers = static_cast<double>(model.layers);
  return ShareOf(options.recompute,
                 {.matrices = 24 * layers * hidden * hidden,
                  .scores = 4 * layers * hidden * static_cast<double>(options.sequence.value())});
}

}  // namespace plimsoll
