#include "kvcache/sizing/kv_bytes.h"

#include <algorithm>

namespace plimsoll {
namespace {

constexpr Bytes kIndexScale = Bytes(4);

Bytes IndexBytes(const AttentionSpec& layer) {
  if (layer.index_dim == 0) return Bytes(0);
  return BytesOf(ElementType::kFp8, layer.index_dim) + kIndexScale;
}

Bytes StateBytes(const RecurrentSpec& layer, ElementType kv) {
  const ElementType element = BitsOf(kv) < 16 ? ElementType::kBf16 : kv;
  return BytesOf(element, layer.conv_elements) +
         BytesOf(layer.state_type.value_or(element), layer.state_elements);
}

bool AllAlike(const std::vector<AttentionSpec>& layers) {
  return std::all_of(layers.begin(), layers.end(), [&](const AttentionSpec& layer) {
    return layer.kv_heads == layers[0].kv_heads && layer.head_dim == layers[0].head_dim &&
           layer.value_dim == layers[0].value_dim && layer.latent_dim == layers[0].latent_dim &&
           layer.index_dim == layers[0].index_dim;
  });
}

std::string KeysOfIndexer(const AttentionSpec& one) {
  if (one.index_dim == 0) return "";
  return " + " + std::to_string(IndexBytes(one).value()) + " of the indexer's keys";
}

std::string LatentFormula(const AttentionSpec& one, const std::string& count, ElementType kv) {
  const std::string latent = std::to_string(BytesOf(kv, one.latent_dim).value()) + " bytes";
  return count + " x (" + latent + KeysOfIndexer(one) + "), latent " +
         std::to_string(one.latent_dim) + " in " + std::string(NameOf(kv));
}

// K and V of different widths.
std::string ApartFormula(const AttentionSpec& one, const std::string& count, ElementType kv) {
  AttentionSpec head = one;
  head.kv_heads = 1;
  head.index_dim = 0;
  return count + " x (" + std::to_string(one.kv_heads) + " heads x " +
         std::to_string(KvBytesOfLayer(head, kv).value()) + " bytes" + KeysOfIndexer(one) +
         "), K " + std::to_string(one.head_dim) + " and V " + std::to_string(one.value_dim) +
         " in " + std::string(NameOf(kv));
}

std::string Formula(const std::vector<AttentionSpec>& layers, ElementType kv) {
  if (layers.empty()) return "no attention layers";
  const std::string count = std::to_string(layers.size()) + " layers";
  const std::string type(NameOf(kv));
  if (!AllAlike(layers)) return "sum over " + count + " of 2 x kv heads x head dim x " + type;
  const AttentionSpec& one = layers[0];
  if (one.latent_dim > 0) return LatentFormula(one, count, kv);
  if (one.value_dim != one.head_dim || one.index_dim > 0) return ApartFormula(one, count, kv);
  const std::string head = std::to_string(BytesOf(kv, one.head_dim).value()) + " bytes";
  const Bytes scales = ScaleBytesOf(kv);
  return "2 x " + count + " x " + std::to_string(one.kv_heads) + " kv heads x " +
         (scales == Bytes(0)
              ? head
              : "(" + head + " + " + std::to_string(scales.value()) + " of scales)") +
         ", head dim " + std::to_string(one.head_dim) + " in " + type;
}

}  // namespace

Bytes ScaleBytesOf(ElementType kv) {
  return Bytes(kv == ElementType::kInt8 || kv == ElementType::kInt4 ? 4 : 0);
}

Bytes KvBytesOfLayer(const AttentionSpec& layer, ElementType kv) {
  if (layer.latent_dim > 0) {
    return BytesOf(kv, layer.latent_dim) + ScaleBytesOf(kv) + IndexBytes(layer);
  }
  const Bytes head =
      BytesOf(kv, layer.head_dim) + BytesOf(kv, layer.value_dim) + 2 * ScaleBytesOf(kv);
  return head * layer.kv_heads + IndexBytes(layer);
}

KvBytes KvBytesOf(const ModelConfig& model, ElementType kv) {
  KvBytes sum{.per_token = {},
              .per_token_long = {},
              .window_per_sequence = {},
              .state_per_sequence = {},
              .formula = {}};
  for (const AttentionSpec& layer : model.attention) {
    const Bytes bytes = KvBytesOfLayer(layer, kv);
    sum.per_token += bytes;
    if (layer.window) {
      sum.window_per_sequence += bytes * layer.window->value();
    } else {
      sum.per_token_long += bytes;
    }
  }
  for (const RecurrentSpec& layer : model.recurrent) {
    sum.state_per_sequence += StateBytes(layer, kv);
  }
  sum.formula = Formula(model.attention, kv);
  return sum;
}

ModelConfig WithLatentDecompressed(ModelConfig model) {
  for (AttentionSpec& layer : model.attention) layer.latent_dim = 0;
  return model;
}

}  // namespace plimsoll
