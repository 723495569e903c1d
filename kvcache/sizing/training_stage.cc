#include "kvcache/sizing/training_stage.h"

#include <string>
#include <utility>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/training_activations.h"

namespace plimsoll {
namespace {

// For each layer of the model, its number within the stage; -1 where another stage holds it.
std::vector<int32_t> NumbersIn(const TrainingStage& stage, int64_t layers,
                               const TrainingOptions& options) {
  const int64_t stages = options.pipeline_parallel;
  const int64_t all = stages * options.interleave;
  std::vector<int32_t> numbers(static_cast<size_t>(layers), -1);
  int32_t next = 0;
  for (int64_t chunk = stage.index; chunk < all; chunk += stages) {
    for (int64_t layer = chunk * layers / all; layer < (chunk + 1) * layers / all; ++layer) {
      numbers[static_cast<size_t>(layer)] = next++;
    }
  }
  return numbers;
}

int64_t CountOf(const std::vector<int32_t>& numbers) {
  int64_t count = 0;
  for (const int32_t number : numbers) count += number >= 0 ? 1 : 0;
  return count;
}

// The tensor's copies in layers that the stage holds.
TensorSpec Kept(const TensorSpec& tensor, const std::vector<int32_t>& numbers) {
  TensorSpec kept = tensor;
  kept.layers.clear();
  for (const int32_t layer : tensor.layers) {
    const int32_t number = numbers[static_cast<size_t>(layer)];
    if (number >= 0) kept.layers.push_back(number);
  }
  return kept;
}

// Whether the stage holds a tensor that belongs to no layer.
bool HoldsEnd(const TensorSpec& tensor, const TrainingStage& stage, const ModelConfig& model) {
  const bool before =
      tensor.role == TensorRole::kEmbedding || tensor.name.find("embed") != std::string::npos;
  if (!before) return stage.last;
  const bool is_head = tensor.role == TensorRole::kEmbedding && model.tied_embeddings &&
                       tensor.shape[0] == model.vocab_size;
  return stage.index == 0 || (stage.last && is_head);
}

}  // namespace

TrainingStage StageAt(int64_t index, const TrainingOptions& options) {
  const int64_t p = options.pipeline_parallel;
  const int64_t m = options.interleave;
  return {.index = index,
          .chunks_in_flight = m == 1 ? p - index : p * (m + 1) - 2 * index - 1,
          .chunks = m,
          .last = index + 1 == p};
}

absl::Status CheckStages(int64_t layers, const TrainingOptions& options) {
  const int64_t chunks = options.pipeline_parallel * options.interleave;
  if (chunks <= layers) return absl::OkStatus();
  const std::string limit = "no more than the " + std::to_string(layers) + " layers";
  if (options.interleave == 1) return BadField("pipeline_parallel", chunks, limit);
  return BadField("pipeline_parallel x interleave", chunks, limit);
}

ModelConfig PartOf(const ModelConfig& model, const TrainingStage& stage,
                   const TrainingOptions& options) {
  const std::vector<int32_t> numbers = NumbersIn(stage, model.layers, options);
  ModelConfig part = model;
  part.layers = CountOf(numbers);
  part.tensors.clear();
  for (const TensorSpec& tensor : model.tensors) {
    if (tensor.layers.empty()) {
      if (HoldsEnd(tensor, stage, model)) part.tensors.push_back(tensor);
      continue;
    }
    TensorSpec kept = Kept(tensor, numbers);
    if (!kept.layers.empty()) part.tensors.push_back(std::move(kept));
  }
  part.attention.clear();
  const std::vector<int64_t> attending = AttendingLayers(model);
  for (size_t i = 0; i < model.attention.size() && i < attending.size(); ++i) {
    if (numbers[static_cast<size_t>(attending[i])] >= 0) {
      part.attention.push_back(model.attention[i]);
    }
  }
  return part;
}

TextbookModel PartOf(const TextbookModel& model, const TrainingStage& stage,
                     const TrainingOptions& options) {
  TextbookModel part = model;
  part.parameters = CeilDivide(model.parameters, options.pipeline_parallel);
  part.layers = CountOf(NumbersIn(stage, model.layers, options));
  return part;
}

}  // namespace plimsoll
