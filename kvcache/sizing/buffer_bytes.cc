#include "kvcache/sizing/buffer_bytes.h"

#include <algorithm>

#include "kvcache/base/size_text.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

constexpr int64_t kFloatBytes = 4;
constexpr int64_t kCandidateBytes = 16;  // token, logit and weight
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

int64_t MostActiveExperts(const ModelConfig& model) {
  int64_t most = 1;
  for (const TensorSpec& tensor : model.tensors) most = std::max(most, tensor.active_experts);
  return most;
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

BufferBytes LogitBytes(const ModelConfig& model, int64_t sequences, Tokens lookahead) {
  const int64_t rows = 1 + lookahead.value();
  return {.bytes = Bytes(sequences * rows * model.vocab_size * kFloatBytes),
          .formula = Text(sequences) + " sequences x " +
                     (rows == 1 ? "" : Text(rows) + " rows x ") + Text(model.vocab_size) +
                     " vocabulary x 4 bytes"};
}

BufferBytes SamplerBytes(const ModelConfig& model) {
  return {.bytes = Bytes(model.vocab_size * kCandidateBytes),
          .formula = Text(model.vocab_size) + " vocabulary x " + Text(kCandidateBytes) +
                     " bytes, one row at a time"};
}

BufferBytes ActivationBytes(const ModelConfig& model, ElementType weights, Tokens step) {
  const int64_t element = BitsOf(ActivationType(weights)) / 8;
  const int64_t widest = WidestLayerElements(model);
  return {.bytes = Bytes(step.value() * (4 * model.hidden_size + element * widest)),
          .formula = Text(step.value()) + " tokens x (" + Text(model.hidden_size) +
                     " residual x 4 bytes + " + Text(widest) + " of a layer x " + Text(element) +
                     " bytes)"};
}

BufferBytes AttentionPartialBytes(const ModelConfig& model, int64_t sequences, int64_t pieces) {
  if (pieces == 0) return {.bytes = Bytes(0), .formula = "attention is not cut into pieces"};
  BufferBytes most{.bytes = Bytes(0), .formula = "no attention layers"};
  for (const AttentionSpec& layer : model.attention) {
    const bool latent = layer.latent_dim > 0;
    const int64_t shared = latent ? 1 : layer.kv_heads;
    const int64_t width = latent ? layer.latent_dim : layer.value_dim;
    const int64_t each = layer.heads / shared;
    const Bytes bytes((pieces + sequences * shared) * each * (width + 2) * kFloatBytes);
    if (bytes <= most.bytes) continue;
    most = {.bytes = bytes,
            .formula = "(" + Text(pieces) + " pieces + " + Text(sequences) + " sequences x " +
                       Text(shared) + " kv heads) x " + Text(each) + " heads of each x (" +
                       Text(width) + " + 2) x 4 bytes"};
  }
  return most;
}

BufferBytes AttentionScoreBytes(const ModelConfig& model, Tokens step) {
  int64_t heads = 0;
  for (const AttentionSpec& layer : model.attention) heads = std::max(heads, layer.heads);
  const int64_t keys = std::min(step, model.max_context).value();
  const auto bytes = CheckedProduct({heads, step.value(), keys, kFloatBytes});
  return {.bytes = std::min(Bytes(bytes.value_or(kMaxBytes.value())), kMaxBytes),
          .formula = Text(heads) + " heads x " + Text(step.value()) + " tokens x " + Text(keys) +
                     " keys x 4 bytes, without flash attention"};
}

BufferBytes ExchangeBytes(const ModelConfig& model, ElementType weights, Tokens step,
                          const ParallelSplit& split) {
  int64_t tokens = 0;
  std::string text;
  const auto add = [&](int64_t count, const std::string& what) {
    tokens += count;
    text += (text.empty() ? "" : " + ") + Text(count) + " " + what;
  };
  if (split.tensor > 1) add(step.value(), "tokens to add up");
  if (split.pipeline > 1) add(step.value(), "between stages");
  if (split.replicas() > 1) {
    add(CeilDivide(step.value() * MostActiveExperts(model), split.tensor), "to experts");
  }
  const BufferBytes one = HiddenStateBytes(model, weights, Tokens(1));
  return {.bytes = one.bytes * tokens,
          .formula = "(" + text + ") x " + Text(one.bytes.value()) + " bytes of hidden state"};
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
