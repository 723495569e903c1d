// Names that the kernels of attention share, and the call as they take it: sizes worked out,
// pointers as they are.
//
// Threads, cost, errors: a value.
#pragma once

#include "engine/ops/attention_cuda.h"
#include "engine/ops/attention_shape.h"
#include "engine/ops/simt.cuh"

namespace plimsoll::cuda {

using AttentionItem = PlimsollCudaAttentionItem;
using AttentionSplit = PlimsollCudaAttentionSplit;

inline constexpr float kLog2E = 1.44269504088896341f;

// Where results go.
struct AttentionOut {
  void* data;
  int32_t type;

  SIMT_DEVICE void Write(int64_t i, float value) const {
    switch (type) {
      case PLIMSOLL_CUDA_FP16:
        static_cast<__half*>(data)[i] = __float2half(value);
        break;
      case PLIMSOLL_CUDA_BF16:
        static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16(value);
        break;
      default:
        static_cast<float*>(data)[i] = value;
    }
  }
};

struct AttentionParameters {
  const float* q;
  AttentionOut out;
  const PlimsollCudaRow* places;
  const float* sinks;
  int heads;
  int group;       // heads that share a KV head
  int pass_heads;  // of a group, those that one pass over K and V takes
  int64_t window;
  float scale_log2;    // of a score, to an exponent of two
  float softcap_log2;  // 0: none; else of a score that has been capped
  float softcap_rate;  // and of one before: twice 1 / softcap, as an exponent of two

  int block_shift;  // log2 of block_tokens
  const unsigned char* layer;
  int64_t block_bytes;
  int64_t head_bytes;
  int64_t kv_bytes;
  int64_t scales;

  const AttentionItem* items;
  float* partial_sums;
  float* partial_weights;
};

}  // namespace plimsoll::cuda
