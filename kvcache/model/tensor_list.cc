#include "kvcache/model/tensor_list.h"

#include <algorithm>
#include <utility>

#include "kvcache/base/check.h"

namespace plimsoll {

TensorList::TensorList(ModelConfig& model, std::string prefix, LayerList layers)
    : model_(model), prefix_(std::move(prefix)), layers_(std::move(layers)) {}

void TensorList::Add(std::string_view name, TensorRole role, const std::vector<Extent>& shape) {
  Expert(name, shape, 1, 1, role);
}

void TensorList::Matrix(std::string_view name, const Extent& out, const Extent& in, bool bias) {
  const std::string own(name);
  Add(own + ".weight", TensorRole::kLinear, {out, in});
  if (bias) Add(own + ".bias", TensorRole::kBias, {out});
}

void TensorList::Norm(std::string_view name, const Extent& width, bool bias) {
  const std::string own(name);
  Add(own + ".weight", TensorRole::kNorm, {width});
  if (bias) Add(own + ".bias", TensorRole::kBias, {width});
}

void TensorList::Expert(std::string_view name, const std::vector<Extent>& shape, int64_t count,
                        int64_t active, TensorRole role) {
  const bool per_layer = prefix_.find("{layer}") != std::string::npos;
  if (per_layer && layers_.empty()) return;
  TensorSpec tensor{.name = prefix_ + std::string(name),
                    .role = role,
                    .shape = {},
                    .layers = layers_,
                    .experts = count,
                    .active_experts = active,
                    .after_layers = after_layers_};
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    tensor.shape.push_back(shape[axis].size());
    if (!shape[axis].divides()) continue;
    PLIMSOLL_CHECK(tensor.split.empty(), tensor.name);
    tensor.split_axis = axis;
    tensor.split = shape[axis].parts();
  }
  model_.tensors.push_back(std::move(tensor));
}

void TensorList::GatedMlp(std::string_view prefix, int64_t width, bool bias) {
  const std::string own(prefix);
  const Extent inner = ByInner(width);
  Matrix(own + ".gate_proj", inner, model_.hidden_size, bias);
  Matrix(own + ".up_proj", inner, model_.hidden_size, bias);
  Matrix(own + ".down_proj", model_.hidden_size, inner, bias);
  model_.widest_ffn = std::max(model_.widest_ffn, width);
}

}  // namespace plimsoll
