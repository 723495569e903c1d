#include "kvcache/sizing/buffer_bytes.h"

#include <algorithm>

#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

constexpr Bytes kMaxSlice = Bytes(int64_t{32} << 20);

std::string Text(int64_t n) { return std::to_string(n); }

// Activations of one token in one layer, in elements: everything but the residual.
int64_t LayerElements(const ModelConfig& model, const AttentionSpec& layer) {
  const int64_t qkv = (layer.heads + 2 * layer.kv_heads) * layer.head_dim;
  const int64_t ffn = std::max(model.widest_ffn, model.intermediate_size);
  return model.hidden_size + qkv + layer.heads * layer.value_dim + 3 * ffn;
}

int64_t WidestLayerElements(const ModelConfig& model) {
  // A layer without attention still has its input and its MLP or recurrence.
  int64_t widest = LayerElements(model, {.heads = 0, .kv_heads = 0, .head_dim = 0, .value_dim = 0});
  for (const AttentionSpec& layer : model.attention) {
    widest = std::max(widest, LayerElements(model, layer));
  }
  return widest;
}

}  // namespace

ElementType ActivationType(ElementType weights) {
  return BitsOf(weights) == 32 ? ElementType::kFp32 : ElementType::kBf16;
}

BufferBytes HiddenStateBytes(const ModelConfig& model, ElementType weights, Tokens step) {
  const int64_t element = BitsOf(ActivationType(weights)) / 8;
  return {.bytes = Bytes(step.value() * model.hidden_size * element),
          .formula = Text(step.value()) + " tokens x " + Text(model.hidden_size) + " hidden x " +
                     Text(element) + " bytes"};
}

BufferBytes LogitBytes(const ModelConfig& model, int64_t sequences) {
  return {.bytes = Bytes(sequences * model.vocab_size * 4),
          .formula =
              Text(sequences) + " sequences x " + Text(model.vocab_size) + " vocabulary x 4 bytes"};
}

BufferBytes ActivationBytes(const ModelConfig& model, ElementType weights, Tokens step) {
  const int64_t element = BitsOf(ActivationType(weights)) / 8;
  const int64_t widest = WidestLayerElements(model);
  return {.bytes = Bytes(step.value() * (4 * model.hidden_size + element * widest)),
          .formula = Text(step.value()) + " tokens x (" + Text(model.hidden_size) +
                     " residual x 4 bytes + " + Text(widest) + " of a layer x " + Text(element) +
                     " bytes)"};
}

BufferBytes DequantisationBytes(const ModelConfig& model, ElementType weights) {
  if (!IsQuantised(weights)) return {.bytes = Bytes(0), .formula = "weights are not quantised"};
  int64_t largest = 0;
  for (const TensorSpec& tensor : model.tensors) {
    if (IsMatrix(tensor.role)) largest = std::max(largest, tensor.ElementsOfOne());
  }
  return {.bytes = std::min(BytesOf(ElementType::kBf16, largest), kMaxSlice),
          .formula = "largest matrix, " + Text(largest) + " x 2 bytes, at most 32 MiB"};
}

}  // namespace plimsoll
