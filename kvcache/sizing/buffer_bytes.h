// Bytes of the buffers that one step of inference works in, allocated once and reused.
//
//   input, output   T x d x e each: the hidden states into and out of a layer
//   logits          B x V x 4
//   activations     T x (4d + e(d + (H + 2Hkv)D + HD + 2F + F)): residual in fp32, normalised
//                   input, q k v, attention output, gate and up, product
//   dequantisation  only with quantised weights: the largest matrix in 16 bits, at most 32 MiB
//
// T tokens of a step, B sequences, d hidden, e bytes of an activation (2, or 4 for fp32 weights),
// H heads, Hkv kv heads, D head dim, F intermediate values of a token, V vocabulary. Layers of
// different shape use the same memory: the largest counts.
//
// Threads: pure. Cost: O(layers + tensors). Errors: none; the options' limits are checked before.
#pragma once

#include <string>

#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

struct BufferBytes {
  Bytes bytes;
  std::string formula;
};

// The type that activations have beside weights of type `weights`.
ElementType ActivationType(ElementType weights);

BufferBytes HiddenStateBytes(const ModelConfig& model, ElementType weights, Tokens step);
BufferBytes LogitBytes(const ModelConfig& model, int64_t sequences);
BufferBytes ActivationBytes(const ModelConfig& model, ElementType weights, Tokens step);
BufferBytes DequantisationBytes(const ModelConfig& model, ElementType weights);

}  // namespace plimsoll
