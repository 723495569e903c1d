/* Paged attention on CUDA as its kernels take it: plain C, since programs and the CUDA module share
 * no C++ types. What is computed is said in ops.h.
 *
 * The work is cut up on the host (attention_plan.h) into items: some rows of one sequence, at some
 * of the positions they attend to. Few rows go to a kernel that reads K and V as fast as memory
 * gives it, many to one that multiplies as fast as it can (attention_chunk_cuda.cuh). Each item, KV
 * head and pass over its heads is a block of threads. Where a row's positions lie in several items,
 * each leaves a partial result, and a second kernel combines them. How many items there are is the
 * host's choice and need not depend on lengths, so a call that was captured once can be run again
 * with other items.
 *
 * All pointers are to device memory. K and V are fp16, bf16, fp8 (e4m3), or int8 or int4 with a
 * word {fp16 scale, fp16 zero} for each token and head, value = zero + scale * q; a head has 64,
 * 80, 96, 128 or 256 dims, all of them in a row without gaps. What is multiplied, q among it, is
 * rounded to the cache's type if that is bf16, else to fp16; sums are fp32. A cache of bf16 wants
 * sm_80.
 */
#ifndef PLIMSOLL_ENGINE_OPS_ATTENTION_CUDA_H_
#define PLIMSOLL_ENGINE_OPS_ATTENTION_CUDA_H_

#include <stdint.h>

#include "engine/ops/cuda_arguments.h"

/* Rows [row, row + rows), of one sequence and at consecutive positions, at positions [begin, end).
 * No rows: nothing to do, which fills up a grid of fixed size. */
typedef struct PlimsollCudaAttentionItem {
  int32_t row;
  int32_t rows;
  int32_t begin;
  int32_t end;
  int32_t partial; /* where its first row's partial result lies; -1: it is the whole result */
} PlimsollCudaAttentionItem;

/* The partial results first, first + stride, ... of a row that was cut in `count`. None: nothing.
 */
typedef struct PlimsollCudaAttentionSplit {
  int32_t row;
  int32_t first;
  int32_t stride;
  int32_t count;
} PlimsollCudaAttentionSplit;

typedef struct PlimsollCudaAttention {
  const float* q;   /* [rows, heads, head_dim] */
  void* out;        /* likewise, of out_type */
  int32_t out_type; /* fp32, fp16 or bf16, by the values of plimsoll::ElementType */
  int32_t type;     /* of the cache, by the same */
  const PlimsollCudaRow* places;
  const float* sinks; /* [heads], or null */
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
  float scale;
  float softcap; /* 0: none */
  int64_t window;

  const unsigned char* layer; /* of block 0: the pool and the layer's offset in it */
  int32_t block_tokens;       /* a power of two, at least 16 */
  int64_t block_bytes;        /* from one block to the next */
  int64_t head_bytes;         /* from one head to the next */
  int64_t kv_bytes;           /* from K to V */
  int64_t scales;             /* from `layer` to its words [kv head][K, V][token slot] */

  const PlimsollCudaAttentionItem* items;
  int32_t item_count;
  const PlimsollCudaAttentionItem* chunks; /* items of many rows, for the kernel of chunks */
  int32_t chunk_count;
  const PlimsollCudaAttentionSplit* splits;
  int32_t split_count;
  float* partial_sums;    /* [partials, heads, head_dim] */
  float* partial_weights; /* [partials, heads, 2]: the largest exponent, the sum of weights */
} PlimsollCudaAttention;

#endif
