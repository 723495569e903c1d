#include "kvcache/model/tensor_list.h"

#include <algorithm>
#include <utility>

namespace plimsoll {

TensorList::TensorList(ModelConfig& model, std::string prefix, LayerList layers)
    : model_(model), prefix_(std::move(prefix)), layers_(std::move(layers)) {}

void TensorList::Add(std::string_view name, TensorRole role, std::vector<int64_t> shape) {
  Expert(name, std::move(shape), 1, 1, role);
}

void TensorList::Matrix(std::string_view name, int64_t out, int64_t in, bool bias) {
  const std::string own(name);
  Add(own + ".weight", TensorRole::kLinear, {out, in});
  if (bias) Add(own + ".bias", TensorRole::kBias, {out});
}

void TensorList::Norm(std::string_view name, int64_t width, bool bias) {
  const std::string own(name);
  Add(own + ".weight", TensorRole::kNorm, {width});
  if (bias) Add(own + ".bias", TensorRole::kBias, {width});
}

void TensorList::Expert(std::string_view name, std::vector<int64_t> shape, int64_t count,
                        int64_t active, TensorRole role) {
  const bool per_layer = prefix_.find("{layer}") != std::string::npos;
  if (per_layer && layers_.empty()) return;
  model_.tensors.push_back({.name = prefix_ + std::string(name),
                            .role = role,
                            .shape = std::move(shape),
                            .layers = layers_,
                            .experts = count,
                            .active_experts = active});
}

void TensorList::GatedMlp(std::string_view prefix, int64_t width, bool bias) {
  const std::string own(prefix);
  Matrix(own + ".gate_proj", width, model_.hidden_size, bias);
  Matrix(own + ".up_proj", width, model_.hidden_size, bias);
  Matrix(own + ".down_proj", model_.hidden_size, width, bias);
  model_.widest_ffn = std::max(model_.widest_ffn, width);
}

}  // namespace plimsoll
