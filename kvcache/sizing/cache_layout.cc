#include "kvcache/sizing/cache_layout.h"

#include <bit>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/kv_bytes.h"

namespace plimsoll {
namespace {

// One layer's place in a block, from `offset` on.
LayerLayout LayOut(const AttentionSpec& layer, ElementType kv, Tokens block_tokens, Bytes offset) {
  const Bytes row = BytesOf(kv, layer.head_dim);
  const Bytes rows = row * block_tokens.value();
  const Bytes head = 2 * rows;
  return {.kv_heads = layer.kv_heads,
          .head_dim = layer.head_dim,
          .offset = offset,
          .row_bytes = row,
          .kv_bytes = rows,
          .head_bytes = head,
          .scales = offset + head * layer.kv_heads};
}

}  // namespace

absl::Status CheckBlockTokens(Tokens block_tokens) {
  const int64_t n = block_tokens.value();
  if (n >= 1 && n <= kMaxBlockTokens && std::has_single_bit(static_cast<uint64_t>(n))) {
    return absl::OkStatus();
  }
  return BadField("block_tokens", n, "a power of two from 1 to 1024");
}

absl::StatusOr<CacheLayout> CacheLayoutFor(const ModelConfig& model, ElementType kv,
                                           Tokens block_tokens) {
  PLIMSOLL_RETURN_IF_ERROR(CheckBlockTokens(block_tokens));
  if (kv == ElementType::kTf32) {
    return BadField("kv", NameOf(kv), "fp32, fp16, bf16, fp8, int8 or int4");
  }
  CacheLayout layout{
      .type = kv, .block_tokens = block_tokens, .block_bytes = Bytes(0), .layers = {}};
  if (!model.recurrent.empty()) {
    return BadField("recurrent layers", std::ssize(model.recurrent),
                    "none, as the pool holds no state");
  }
  for (const AttentionSpec& layer : model.attention) {
    if (layer.latent_dim > 0) {
      return BadField("latent_dim", layer.latent_dim, "0, as the pool holds K and V");
    }
    if (layer.value_dim != layer.head_dim) {
      return BadField("value_dim", layer.value_dim,
                      "head_dim=" + std::to_string(layer.head_dim) + ", as the pool stores both");
    }
    layout.layers.push_back(LayOut(layer, kv, block_tokens, layout.block_bytes));
    const Bytes words = 2 * ScaleBytesOf(kv) * layer.kv_heads * block_tokens.value();
    layout.block_bytes = layout.layers.back().scales + words;
  }
  return layout;
}

}  // namespace plimsoll
