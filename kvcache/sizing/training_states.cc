#include "kvcache/sizing/training_states.h"

#include <algorithm>
#include <array>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/training_adapters.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

// In the order of TrainingMethod.
constexpr std::array<StateRecipe, 9> kRecipes = {{{4, 4, 4, 0, 8, false},
                                                  {2, 2, 2, 4, 8, false},
                                                  {2, 4, 4, 4, 8, false},
                                                  {2, 6, 2, 4, 8, false},
                                                  {2, 2, 2, 0, 4, false},
                                                  {2, 2, 2, 4, 0, true},
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

// Counts what holds whichever way the model is trained.
TrainingParameters CountWhole(const ModelConfig& model, int64_t ranks) {
  TrainingParameters counted;
  counted.total = model.Parameters();
  for (const TensorSpec& tensor : model.tensors) {
    const int64_t elements = ElementsOfRank(tensor, ranks);
    counted.trained += elements * tensor.Copies();
    counted.moments_8bit += MomentsIn8Bits(elements) * tensor.Copies();
    if (elements <= kPersistenceThreshold) counted.small += elements * tensor.Copies();
    if (IsMatrix(tensor.role)) counted.largest_matrix = std::max(counted.largest_matrix, elements);
  }
  counted.trained_whole = counted.total;
  return counted;
}

// The blocks of NF4 run through a matrix as if it were one row.
Bytes Nf4(int64_t elements) {
  return StoredMatrixBytes({.format = StorageFormat::kNf4Double}, elements, 1);
}

// The base of qlora on one rank.
void FreezeInNf4(const ModelConfig& model, int64_t ranks, TrainingParameters& counted) {
  Bytes matrices;
  int64_t quantised = 0, others = 0;
  for (const TensorSpec& tensor : model.tensors) {
    const int64_t elements = ElementsOfRank(tensor, ranks);
    (IsMatrix(tensor.role) ? quantised : others) += elements * tensor.Copies();
    if (IsMatrix(tensor.role)) matrices += Nf4(elements) * tensor.Copies();
  }
  counted.frozen = matrices + Bytes(others * kBaseBytes);
  counted.frozen_formula = Text(quantised) + " parameters in nf4 with double quantisation, " +
                           Text(matrices.value()) + " bytes, + " + Text(others) + " x " +
                           Text(kBaseBytes) + " bytes";
}

void FreezeIn16Bits(TrainingParameters& counted) {
  counted.frozen = Bytes(counted.trained * kBaseBytes);
  counted.frozen_formula =
      Text(counted.trained) + " frozen parameters x " + Text(kBaseBytes) + " bytes";
}

// From here on only adapters are trained.
void TrainAdapters(const AdapterCount& adapters, TrainingParameters& counted) {
  counted.trained = adapters.parameters;
  counted.trained_whole = adapters.parameters;
}

}  // namespace

StateRecipe RecipeOf(TrainingMethod method) { return kRecipes[static_cast<size_t>(method)]; }

absl::StatusOr<TrainingParameters> TrainingParametersOf(const ModelConfig& model,
                                                        const TrainingOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckHeads(model, options.tensor_parallel));
  PLIMSOLL_RETURN_IF_ERROR(CheckMatrices(model, options.tensor_parallel));
  TrainingParameters counted = CountWhole(model, options.tensor_parallel);
  if (!options.trains_adapters()) return counted;
  const absl::StatusOr<AdapterCount> adapters =
      CountAdapters(model, options.lora_targets, options.lora_rank);
  if (!adapters.ok()) return adapters.status();
  if (options.method == TrainingMethod::kQlora) {
    FreezeInNf4(model, options.tensor_parallel, counted);
  } else {
    FreezeIn16Bits(counted);
  }
  TrainAdapters(*adapters, counted);
  return counted;
}

absl::StatusOr<TrainingParameters> TrainingParametersOf(const TextbookModel& model,
                                                        const TrainingOptions& options) {
  TrainingParameters counted;
  counted.total = model.parameters;
  counted.trained = CeilDivide(model.parameters, options.tensor_parallel);
  counted.trained_whole = model.parameters;
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
  TrainAdapters(*adapters, counted);
  return counted;
}

}  // namespace plimsoll
