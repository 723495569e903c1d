#include "kvcache/sizing/parallel_split.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"
#include "kvcache/base/units.h"

namespace plimsoll {
namespace {

bool IsOfExperts(const TensorSpec& tensor) {
  return tensor.experts > 1 || tensor.role == TensorRole::kExpert;
}

// Over how many GPUs one copy of the tensor is cut.
int64_t SliceOf(const TensorSpec& tensor, const ParallelSplit& split) {
  if (!IsOfExperts(tensor)) return split.tensor;
  return std::max<int64_t>(split.tensor / split.expert, 1);
}

std::string WantedOf(const SplitPart& part, const std::string& where) {
  const std::string count = std::to_string(part.count);
  switch (part.unit) {
    case SplitUnit::kHead:
      return "a divisor of the " + count + " heads of " + where;
    case SplitUnit::kKvHead:
      return "a divisor or a multiple of the " + count + " shared heads of " + where;
    default:
      return "a divisor of the " + count + " inner values of " + where;
  }
}

absl::Status CheckParts(const std::vector<SplitPart>& parts, const std::string& where,
                        const ParallelSplit& split, int64_t slice) {
  for (const SplitPart& part : parts) {
    if (UnitsOfOne(part, slice)) continue;
    const std::string beside =
        slice == split.tensor ? "" : " times expert_parallel=" + std::to_string(split.expert);
    return BadField("tensor_parallel", split.tensor, WantedOf(part, where) + beside);
  }
  return absl::OkStatus();
}

absl::Status CheckCounts(const ModelConfig& model, const ParallelSplit& split) {
  const auto check = [](std::string_view field, int64_t value, int64_t most) {
    if (value >= 1 && value <= most) return absl::OkStatus();
    return BadField(field, value, "1 to " + std::to_string(most));
  };
  PLIMSOLL_RETURN_IF_ERROR(check("tensor_parallel", split.tensor, kMaxParallel));
  PLIMSOLL_RETURN_IF_ERROR(
      check("pipeline_parallel", split.pipeline, std::min(model.layers, kMaxParallel)));
  return check("expert_parallel", split.expert, kMaxParallel);
}

absl::Status CheckExperts(const ModelConfig& model, const ParallelSplit& split) {
  if (split.expert == 1) return absl::OkStatus();
  if (split.tensor % split.expert != 0 && split.expert % split.tensor != 0) {
    return BadField("expert_parallel", split.expert,
                    "a divisor or a multiple of tensor_parallel=" + std::to_string(split.tensor));
  }
  int64_t fewest = 0;
  for (const TensorSpec& tensor : model.tensors) {
    if (!IsOfExperts(tensor)) continue;
    fewest = fewest == 0 ? tensor.experts : std::min(fewest, tensor.experts);
  }
  if (split.expert <= fewest) return absl::OkStatus();
  return BadField("expert_parallel", split.expert,
                  fewest == 0 ? "1, as the model has no experts"
                              : "at most the " + std::to_string(fewest) + " experts of a layer");
}

absl::Status CheckHeads(const ModelConfig& model, const ParallelSplit& split) {
  const std::string where = "attention";
  for (const AttentionSpec& layer : model.attention) {
    PLIMSOLL_RETURN_IF_ERROR(
        CheckParts({{SplitUnit::kHead, layer.heads}, {SplitUnit::kKvHead, layer.kv_heads}}, where,
                   split, split.tensor));
  }
  for (const RecurrentSpec& layer : model.recurrent) {
    PLIMSOLL_RETURN_IF_ERROR(CheckParts(layer.conv_split, "a state", split, split.tensor));
    PLIMSOLL_RETURN_IF_ERROR(CheckParts(layer.state_split, "a state", split, split.tensor));
  }
  return absl::OkStatus();
}

// Of the tokens, not of positions.
const TensorSpec* EmbeddingOf(const ModelConfig& model) {
  for (const TensorSpec& tensor : model.tensors) {
    if (tensor.role == TensorRole::kEmbedding && !tensor.split.empty()) return &tensor;
  }
  return nullptr;
}

// Cuts shares of one stage out of a model.
class Stage {
 public:
  Stage(const ModelConfig& model, const ParallelSplit& split, int64_t stage)
      : model_(model),
        split_(split),
        layers_(LayersOfStage(model.layers, split.pipeline, stage)),
        is_first_(stage == 0),
        is_last_(stage == split.pipeline - 1) {}

  ModelShare Share() const;

 private:
  bool Has(const TensorSpec& tensor) const;
  TensorSpec ShareOfTensor(const TensorSpec& tensor) const;
  AttentionSpec ShareOfLayer(AttentionSpec layer) const;
  RecurrentSpec ShareOfLayer(RecurrentSpec layer) const;
  int64_t ShareOfElements(int64_t elements, const std::vector<SplitPart>& parts) const;

  const ModelConfig& model_;
  const ParallelSplit& split_;
  const StageLayers layers_;
  const bool is_first_, is_last_;
};

bool Stage::Has(const TensorSpec& tensor) const {
  if (!tensor.layers.empty()) {
    return std::any_of(tensor.layers.begin(), tensor.layers.end(),
                       [&](int32_t layer) { return layers_.has(layer); });
  }
  if (tensor.after_layers) return is_last_;
  return is_first_ || (is_last_ && model_.tied_embeddings && &tensor == EmbeddingOf(model_));
}

TensorSpec Stage::ShareOfTensor(const TensorSpec& tensor) const {
  TensorSpec share = tensor;
  std::erase_if(share.layers, [&](int32_t layer) { return !layers_.has(layer); });
  if (IsOfExperts(tensor)) {
    share.experts = CeilDivide(tensor.experts, split_.expert);
    share.active_experts = std::min(tensor.active_experts, share.experts);
  }
  if (!tensor.split.empty()) {
    const auto cut = ElementsOfOne(tensor.split, SliceOf(tensor, split_));
    PLIMSOLL_CHECK(cut.has_value(), tensor.name);
    share.shape[tensor.split_axis] = *cut;
  }
  share.stored_bytes.reset();
  share.split.clear();
  return share;
}

AttentionSpec Stage::ShareOfLayer(AttentionSpec layer) const {
  layer.heads = *UnitsOfOne({SplitUnit::kHead, layer.heads}, split_.tensor);
  layer.kv_heads = *UnitsOfOne({SplitUnit::kKvHead, layer.kv_heads}, split_.tensor);
  return layer;
}

int64_t Stage::ShareOfElements(int64_t elements, const std::vector<SplitPart>& parts) const {
  return parts.empty() ? elements : *ElementsOfOne(parts, split_.tensor);
}

RecurrentSpec Stage::ShareOfLayer(RecurrentSpec layer) const {
  layer.conv_elements = ShareOfElements(layer.conv_elements, layer.conv_split);
  layer.state_elements = ShareOfElements(layer.state_elements, layer.state_split);
  return layer;
}

ModelShare Stage::Share() const {
  ModelShare all{.model = model_, .whole = {}};
  ModelConfig& share = all.model;
  share.headers.reset();
  share.intermediate_size = CeilDivide(model_.intermediate_size, split_.tensor);
  share.widest_ffn = CeilDivide(model_.widest_ffn, split_.tensor);
  share.tensors.clear();
  for (const TensorSpec& tensor : model_.tensors) {
    if (!Has(tensor)) continue;
    share.tensors.push_back(ShareOfTensor(tensor));
    all.whole.push_back(&tensor);
  }
  const auto elsewhere = [&](const auto& layer) { return !layers_.has(layer.layer); };
  std::erase_if(share.attention, elsewhere);
  std::erase_if(share.recurrent, elsewhere);
  for (AttentionSpec& layer : share.attention) layer = ShareOfLayer(layer);
  for (RecurrentSpec& layer : share.recurrent) layer = ShareOfLayer(layer);
  return all;
}

}  // namespace

absl::Status CheckSplit(const ModelConfig& model, const ParallelSplit& split) {
  PLIMSOLL_RETURN_IF_ERROR(CheckCounts(model, split));
  PLIMSOLL_RETURN_IF_ERROR(CheckExperts(model, split));
  PLIMSOLL_RETURN_IF_ERROR(CheckHeads(model, split));
  for (const TensorSpec& tensor : model.tensors) {
    PLIMSOLL_RETURN_IF_ERROR(CheckParts(tensor.split, tensor.name, split, SliceOf(tensor, split)));
  }
  return absl::OkStatus();
}

StageLayers LayersOfStage(int64_t layers, int64_t stages, int64_t stage) {
  const int64_t each = layers / stages;
  const int64_t first_larger = stages - 1 - layers % stages;
  const int64_t larger_before = std::clamp<int64_t>(stage - first_larger, 0, layers % stages);
  const bool larger = stage >= first_larger && stage < stages - 1;
  return {.first = stage * each + larger_before, .count = each + (larger ? 1 : 0)};
}

ModelShare CutShare(const ModelConfig& model, const ParallelSplit& split, int64_t stage) {
  return Stage(model, split, stage).Share();
}

ModelConfig ShareOf(const ModelConfig& model, const ParallelSplit& split, int64_t stage) {
  return CutShare(model, split, stage).model;
}

}  // namespace plimsoll
