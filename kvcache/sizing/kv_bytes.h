// Bytes of K and V: for one token, for one that comes after every window is full, for the windows
// of one sequence; and of what recurrent layers keep of a sequence.
//
//   one layer, one token = kv_heads x (head_dim + value_dim) x element, plus scales
//   with a latent        = latent_dim x element, plus scales: one vector for all heads
//   with an indexer      + index_dim + 4: its keys are fp8 with a scale, whatever the type of
//                          K and V
//   one recurrent layer  = conv_elements x element + state_elements x state element
//
// Recurrent layers compute in at least 16 bits: their element is that of K and V where it has them,
// else bf16. The state's is the one the file names, where it names one. Scales, for each token and
// head, once for K and once for V: int8 and int4 have 4 bytes (scale and zero), fp8 none (its
// scales are constants of the model), wider types none.
//
// Threads: pure. Cost: O(layers). Errors: none; a ModelConfig is bounded.
#pragma once

#include <string>

#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

struct KvBytes {
  Bytes per_token;            // every layer charged
  Bytes per_token_long;       // only layers without a window
  Bytes window_per_sequence;  // what the layers with a window reach and never exceed
  Bytes state_per_sequence;   // what recurrent layers keep, however long the sequence
  std::string formula;        // of per_token: "2 x 32 layers x 8 kv heads x 128 x 2 bytes"
};

// What scales one row of K or of V: 4 bytes of int8 and int4, none of the others.
Bytes ScaleBytesOf(ElementType kv);

// One token's K and V in one layer.
Bytes KvBytesOfLayer(const AttentionSpec& layer, ElementType kv);

KvBytes KvBytesOf(const ModelConfig& model, ElementType kv);

// The model in an engine that keeps K and V of latent attention apart for each head: heads x (nope
// + rope + value) in place of the latent.
ModelConfig WithLatentDecompressed(ModelConfig model);

}  // namespace plimsoll
