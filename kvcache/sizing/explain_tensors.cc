#include "kvcache/sizing/explain_tensors.h"

#include <string>

#include "kvcache/sizing/kv_bytes.h"

namespace plimsoll {
namespace {

std::string Text(int64_t n) { return std::to_string(n); }

std::string ShapeText(const TensorSpec& tensor) {
  std::string shape;
  for (const int64_t size : tensor.shape) shape += (shape.empty() ? "" : " x ") + Text(size);
  return shape;
}

std::string CopiesText(const TensorSpec& tensor) {
  std::string copies;
  if (tensor.layers.size() > 1) copies += " x " + Text(std::ssize(tensor.layers)) + " layers";
  if (tensor.experts > 1) copies += " x " + Text(tensor.experts) + " experts";
  return copies;
}

bool SameKind(const AttentionSpec& a, const AttentionSpec& b) {
  return a.kv_heads == b.kv_heads && a.head_dim == b.head_dim && a.value_dim == b.value_dim &&
         a.window == b.window && a.latent_dim == b.latent_dim && a.index_dim == b.index_dim;
}

// Layers of one kind, whichever they are.
struct Kind {
  AttentionSpec layer;
  int64_t count;
};

std::vector<Kind> KindsOf(const std::vector<AttentionSpec>& layers) {
  std::vector<Kind> kinds;
  for (const AttentionSpec& layer : layers) {
    bool known = false;
    for (Kind& kind : kinds) {
      if (!SameKind(kind.layer, layer)) continue;
      ++kind.count;
      known = true;
      break;
    }
    if (!known) kinds.push_back({layer, 1});
  }
  return kinds;
}

std::string WidthText(const AttentionSpec& layer) {
  if (layer.latent_dim > 0) {
    const std::string keys =
        layer.index_dim > 0 ? " and keys of " + Text(layer.index_dim) + " for its indexer" : "";
    return "one latent of " + Text(layer.latent_dim) + keys;
  }
  return Text(layer.kv_heads) + " kv heads x (" + Text(layer.head_dim) + " of K + " +
         Text(layer.value_dim) + " of V)";
}

}  // namespace

std::vector<ExplainStep> TensorSteps(const ModelConfig& model) {
  std::vector<ExplainStep> steps;
  for (const TensorSpec& tensor : model.tensors) {
    steps.push_back(
        {ShapeText(tensor) + CopiesText(tensor) + " = " + Text(tensor.Elements()) + " elements",
         tensor.name});
  }
  steps.push_back({"together " + Text(model.Parameters()) + " parameters", ""});
  return steps;
}

std::vector<ExplainStep> KvSteps(const ModelConfig& model, ElementType kv) {
  std::vector<ExplainStep> steps;
  Bytes sum;
  for (const Kind& kind : KindsOf(model.attention)) {
    const Bytes bytes = KvBytesOfLayer(kind.layer, kv) * kind.count;
    const std::string window =
        kind.layer.window ? ", window " + Text(kind.layer.window->value()) : "";
    steps.push_back({Text(kind.count) + " layers" + window + ": " + WidthText(kind.layer) + " in " +
                         std::string(NameOf(kv)) + ", scales included = " + Text(bytes.value()) +
                         " bytes a token",
                     kind.layer.latent_dim > 0 ? "kv_lora_rank and qk_rope_head_dim of the model"
                                               : "num_key_value_heads and head_dim of the model"});
    sum += bytes;
  }
  steps.push_back({"together " + Text(sum.value()) + " bytes a token", ""});
  return steps;
}

}  // namespace plimsoll
