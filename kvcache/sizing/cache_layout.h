// Where K and V of each token lie inside one block of the pool.
//
// A block holds `block_tokens` token slots of every layer, block-major:
//
//   block -> layer -> kv head -> {K, V} -> token -> dim
//
// so one block is one contiguous piece of memory, the unit of copying and of mapping. Layers may
// differ in heads and width; each has its own offset and strides. Of int8 and int4 every row has a
// word beside it, {fp16 scale, fp16 zero}; a layer's words follow its rows:
//
//   layer -> rows as above, then words: kv head -> {K, V} -> token
//
// Threads: a value. Cost: O(layers) to build. Errors: InvalidArgument from CacheLayoutFor.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

struct LayerLayout {
  int64_t kv_heads;
  int64_t head_dim;
  Bytes offset;             // of the layer inside a block
  Bytes row_bytes;          // one token's K (or V) of one head
  Bytes kv_bytes;           // block_tokens rows: from K of a head to V of the same head
  Bytes head_bytes;         // from one head to the next: 2 * kv_bytes
  Bytes scales = Bytes(0);  // of its words inside a block, where the type has words
};

struct CacheLayout {
  ElementType type;     // how K and V are stored
  Tokens block_tokens;  // a power of two, at least 1
  Bytes block_bytes;    // what one block occupies: the sum over layers
  std::vector<LayerLayout> layers;
};

inline constexpr int64_t kMaxBlockTokens = 1024;
// InvalidArgument unless `block_tokens` is a power of two in [1, kMaxBlockTokens].
absl::Status CheckBlockTokens(Tokens block_tokens);

// Lays out `model`'s attention layers in blocks of `block_tokens`, with `kv` elements.
// InvalidArgument, naming the field, unless block_tokens is a power of two in [1, 1024] and `kv`
// is a type the pool can hold (all but tf32), and for a model with latent or recurrent layers.
absl::StatusOr<CacheLayout> CacheLayoutFor(const ModelConfig& model, ElementType kv,
                                           Tokens block_tokens);

}  // namespace plimsoll
