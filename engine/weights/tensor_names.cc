#include "engine/weights/tensor_names.h"

#include <string_view>

namespace plimsoll {
namespace {

void Replace(std::string& text, std::string_view what, int64_t number) {
  const size_t at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), std::to_string(number));
}

}  // namespace

std::string TensorName(const TensorSpec& spec, int64_t layer, int64_t expert) {
  std::string name = spec.name;
  Replace(name, "{layer}", layer);
  Replace(name, "{expert}", expert);
  return name;
}

bool ForEachTensor(const ModelConfig& model,
                   const std::function<bool(const std::string& name, const TensorSpec&)>& visit) {
  const std::vector<int32_t> once = {0};
  for (const TensorSpec& spec : model.tensors) {
    const bool per_layer = spec.name.find("{layer}") != std::string::npos;
    for (const int32_t layer : per_layer ? spec.layers : once) {
      for (int64_t expert = 0; expert < spec.experts; ++expert) {
        if (!visit(TensorName(spec, layer, expert), spec)) return false;
      }
    }
  }
  return true;
}

}  // namespace plimsoll
