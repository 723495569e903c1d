// Bytes of the buffers that one step of inference works in, allocated once and reused.
//
//   input, output   T x d x e each: the hidden states into and out of a layer
//   logits          B x R x V x 4; R rows of a sequence: 1, and one for each lookahead token
//   sampler         V x 16: a candidate for each word, one row at a time
//   activations     T x (4d + e(d + (H + 2Hkv)D + HD + 2F + F)): residual in fp32, normalised
//                   input, q k v, attention output, gate and up, product
//   attention       (P + B x Hkv) x H / Hkv x (D + 2) x 4: what pieces of a decode step's attention
//                   put out, with a maximum and a sum each, before they are put together. A batch
//                   of at most B is cut into less than P pieces more than it has heads of K and V
//                   (P = 256: enough to keep a GPU busy). A latent counts as one such head.
//                   Without flash attention instead H x T x min(T, context) x 4: the scores of a
//                   prompt that fills the step, softmax in place
//   exchange        T x d x e for the sum over t > 1 GPUs, as much again between p > 1 stages, and
//                   ceil(T x K / t) x d x e for the tokens that other replicas send to experts,
//                   where these are spread over more GPUs than share a layer
//   dequantisation  only with quantised weights: the largest matrix in 16 bits, at most 32 MiB
//
// T tokens of a step, B sequences, d hidden, e bytes of an activation (2, or 4 for fp32 weights),
// H heads, Hkv kv heads, D head dim, F intermediate values of a token, V vocabulary, K experts of a
// token. Layers of different shape use the same memory: the largest counts. Of a model that is
// spread over GPUs, pass the share of one. A stage of a pipeline works on one step at a time,
// whatever is in flight, so that none of these grows with the number of stages.
//
// Threads: pure. Cost: O(layers + tensors). Errors: none; the options' limits are checked before.
#pragma once

#include <cstdint>
#include <string>

#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/parallel_split.h"

namespace plimsoll {

struct BufferBytes {
  Bytes bytes;
  std::string formula;
};

// The type that activations have beside weights of type `weights`.
ElementType ActivationType(ElementType weights);

BufferBytes HiddenStateBytes(const ModelConfig& model, ElementType weights, Tokens step);
BufferBytes LogitBytes(const ModelConfig& model, int64_t sequences, Tokens lookahead = Tokens(0));
BufferBytes SamplerBytes(const ModelConfig& model);
BufferBytes ActivationBytes(const ModelConfig& model, ElementType weights, Tokens step);
// `pieces` 0: attention is not cut, as on a CPU.
BufferBytes AttentionPartialBytes(const ModelConfig& model, int64_t sequences, int64_t pieces);
BufferBytes AttentionScoreBytes(const ModelConfig& model, Tokens step);
// `model` is the whole one.
BufferBytes ExchangeBytes(const ModelConfig& model, ElementType weights, Tokens step,
                          const ParallelSplit& split);
BufferBytes DequantisationBytes(const ModelConfig& model, ElementType weights);

}  // namespace plimsoll
