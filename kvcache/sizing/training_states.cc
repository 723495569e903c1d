#include "kvcache/sizing/training_states.h"

#include <algorithm>
#include <array>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/training_adapters.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

// In the order of TrainingMethod.
constexpr std::array<StateRecipe, 10> kRecipes = {{{4, 4, 4, 0, 8, false},
                                                   {2, 2, 2, 4, 8, false},
                                                   {2, 4, 4, 4, 8, false},
                                                   {2, 6, 2, 4, 8, false},
                                                   {2, 2, 2, 0, 4, false},
                                                   {2, 2, 2, 4, 0, true},
                                                   {2, 2, 2, 0, 0, true},
                                                   {2, 2, 2, 4, 4, false},
                                                   {4, 4, 4, 0, 8, false},
                                                   {4, 4, 4, 0, 8, false}}};
constexpr int64_t kBaseBytes = 2;  // of a frozen parameter that is not quantised

Bytes MomentsIn8Bits(int64_t elements) {
  constexpr int64_t kSmallTensor = 4096;
  if (elements < kSmallTensor) return Bytes(elements * 8);
  return Bytes(2 * elements + 8 * CeilDivide(elements, 256));
}

bool IsSplit(TensorRole role) {
  return IsMatrix(role) || role == TensorRole::kEmbedding || role == TensorRole::kHead;
}

int64_t ElementsOfRank(const TensorSpec& tensor, int64_t ranks) {
  const int64_t elements = tensor.ElementsOfOne();
  return IsSplit(tensor.role) ? CeilDivide(elements, ranks) : elements;
}

std::string Text(int64_t n) { return std::to_string(n); }

absl::Status CheckHeads(const ModelConfig& model, int64_t ranks) {
  for (const AttentionSpec& layer : model.attention) {
    if (layer.heads % ranks != 0 || layer.kv_heads % ranks != 0) {
      return BadField("tensor_parallel", ranks,
                      "a divisor of the " + Text(layer.heads) + " heads and " +
                          Text(layer.kv_heads) + " kv heads");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMatrices(const ModelConfig& model, int64_t ranks) {
  for (const TensorSpec& tensor : model.tensors) {
    if (!IsMatrix(tensor.role)) continue;
    if (tensor.shape[0] % ranks == 0 || tensor.shape[1] % ranks == 0) continue;
    return BadField("tensor_parallel", ranks, "a divisor of a side of " + tensor.name);
  }
  return absl::OkStatus();
}

// Tensors of one GPU's share that one specification stands for.
int64_t CopiesOfRank(const TensorSpec& tensor, const TrainingOptions& options) {
  return tensor.experts > 1 ? tensor.Copies() / options.expert_parallel : tensor.Copies();
}

// Counts what holds whichever way the model is trained.
TrainingParameters CountWhole(const ModelConfig& model, const TrainingOptions& options) {
  TrainingParameters counted;
  for (const TensorSpec& tensor : model.tensors) {
    const int64_t elements = ElementsOfRank(tensor, options.tensor_parallel);
    const int64_t copies = CopiesOfRank(tensor, options);
    const Bytes moments = MomentsIn8Bits(elements) * copies;
    counted.trained += elements * copies;
    counted.moments_8bit += moments;
    if (tensor.experts > 1) {
      counted.trained_experts += elements * copies;
      counted.moments_8bit_experts += moments;
    }
    if (elements <= kPersistenceThreshold) counted.small += elements * copies;
    if (IsMatrix(tensor.role)) counted.largest_matrix = std::max(counted.largest_matrix, elements);
  }
  return counted;
}

// The blocks of NF4 run through a matrix as if it were one row.
Bytes Nf4(int64_t elements) {
  return StoredMatrixBytes({.format = StorageFormat::kNf4Double}, elements, 1);
}

// The base of qlora on one rank.
void FreezeInNf4(const ModelConfig& model, const TrainingOptions& options,
                 TrainingParameters& counted) {
  Bytes matrices;
  int64_t quantised = 0, others = 0;
  for (const TensorSpec& tensor : model.tensors) {
    const int64_t elements = ElementsOfRank(tensor, options.tensor_parallel);
    const int64_t copies = CopiesOfRank(tensor, options);
    const bool is_matrix = IsMatrix(tensor.role);
    const Bytes bytes = is_matrix ? Nf4(elements) * copies : Bytes(elements * copies * kBaseBytes);
    (is_matrix ? quantised : others) += elements * copies;
    if (is_matrix) matrices += bytes;
    if (tensor.experts > 1) counted.frozen_experts += bytes;
  }
  counted.frozen = matrices + Bytes(others * kBaseBytes);
  counted.frozen_formula = Text(quantised) + " parameters in nf4 with double quantisation, " +
                           Text(matrices.value()) + " bytes, + " + Text(others) + " x " +
                           Text(kBaseBytes) + " bytes";
}

void FreezeIn16Bits(TrainingParameters& counted) {
  counted.frozen = Bytes(counted.trained * kBaseBytes);
  counted.frozen_experts = Bytes(counted.trained_experts * kBaseBytes);
  counted.frozen_formula =
      Text(counted.trained) + " frozen parameters x " + Text(kBaseBytes) + " bytes";
}

// From here on only adapters are trained.
void TrainAdapters(const AdapterCount& adapters, const TrainingOptions& options,
                   TrainingParameters& counted) {
  counted.trained_experts = adapters.of_experts / options.expert_parallel;
  counted.trained = adapters.parameters - adapters.of_experts + counted.trained_experts;
}

}  // namespace

absl::Status CheckExperts(const ModelConfig& model, int64_t ranks) {
  if (ranks == 1) return absl::OkStatus();
  bool any = false;
  for (const TensorSpec& tensor : model.tensors) {
    any = any || tensor.experts > 1;
    if (tensor.experts == 1 || tensor.experts % ranks == 0) continue;
    return BadField("expert_parallel", ranks,
                    "a divisor of the " + Text(tensor.experts) + " experts");
  }
  if (any) return absl::OkStatus();
  return BadField("expert_parallel", ranks, "1, since the model has no experts");
}

StateRecipe RecipeOf(TrainingMethod method) { return kRecipes[static_cast<size_t>(method)]; }

absl::StatusOr<TrainingParameters> TrainingParametersOf(const ModelConfig& model,
                                                        const TrainingOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckHeads(model, options.tensor_parallel));
  PLIMSOLL_RETURN_IF_ERROR(CheckMatrices(model, options.tensor_parallel));
  TrainingParameters counted = CountWhole(model, options);
  if (!options.trains_adapters()) return counted;
  const absl::StatusOr<AdapterCount> adapters =
      CountAdapters(model, options.lora_targets, options.lora_rank);
  if (!adapters.ok()) return adapters.status();
  if (options.method == TrainingMethod::kQlora) {
    FreezeInNf4(model, options, counted);
  } else {
    FreezeIn16Bits(counted);
  }
  TrainAdapters(*adapters, options, counted);
  return counted;
}

absl::StatusOr<TrainingParameters> TrainingParametersOf(const TextbookModel& model,
                                                        const TrainingOptions& options) {
  if (options.expert_parallel > 1) {
    return BadField("expert_parallel", options.expert_parallel, "1, or a model that has experts");
  }
  TrainingParameters counted;
  counted.trained = CeilDivide(model.parameters, options.tensor_parallel);
  counted.moments_8bit = Bytes(2 * counted.trained + 8 * CeilDivide(counted.trained, 256));
  counted.largest_matrix = CeilDivide(4 * model.hidden * model.hidden, options.tensor_parallel);
  if (!options.trains_adapters()) return counted;
  const absl::StatusOr<AdapterCount> adapters =
      CountAdapters(model, options.lora_targets, options.lora_rank);
  if (!adapters.ok()) return adapters.status();
  if (options.method == TrainingMethod::kQlora) {
    counted.frozen = Bytes(CeilDivide(counted.trained, 2));
    counted.frozen_formula = Text(counted.trained) + " frozen parameters x 0.5 bytes";
  } else {
    FreezeIn16Bits(counted);
  }
  TrainAdapters(*adapters, options, counted);
  return counted;
}

}  // namespace plimsoll
