#include "kvcache/model/model_config.h"

#include <algorithm>

namespace plimsoll {

int64_t TensorSpec::ElementsOfOne() const {
  int64_t elements = 1;
  for (const int64_t extent : shape) elements *= extent;
  return elements;
}

int64_t TensorSpec::Copies() const { return std::max<int64_t>(std::ssize(layers), 1) * experts; }

int64_t ModelConfig::Parameters() const {
  int64_t sum = 0;
  for (const TensorSpec& tensor : tensors) sum += tensor.Elements();
  return sum;
}

int64_t ModelConfig::StoredParameters() const {
  if (headers) return headers->all.elements;
  int64_t sum = Parameters();
  for (const LeftOut& part : left_out) sum += part.elements.value_or(0);
  return sum;
}

int64_t ModelConfig::ActiveParameters() const {
  int64_t sum = 0;
  for (const TensorSpec& tensor : tensors) {
    sum += tensor.Elements() / tensor.experts * tensor.active_experts;
  }
  return sum;
}

}  // namespace plimsoll
