/* The operations of ops.h as CUDA's kernels take them: plain C, since programs and the CUDA module
 * share no C++ types, and files of kernels include no Abseil.
 *
 * All pointers are to device memory. Shapes are row-major and were checked by the caller. What is
 * computed is said in ops.h; this file says only what differs:
 *
 *   - Results that a product will read next are stored in 16 bits, the type that products are made
 *     in (`out_type`); everything else is fp32.
 *   - Quantised weights are stored fragment-major (linear_cuda.cuh).
 *   - Attention is cut into items beforehand (attention_cuda.h).
 */
#ifndef PLIMSOLL_ENGINE_OPS_CUDA_ARGUMENTS_H_
#define PLIMSOLL_ENGINE_OPS_CUDA_ARGUMENTS_H_

#include <stdint.h>

/* Element types, by the values of plimsoll::ElementType. */
enum PlimsollCudaType {
  PLIMSOLL_CUDA_FP32 = 0,
  PLIMSOLL_CUDA_FP16 = 2,
  PLIMSOLL_CUDA_BF16 = 3,
  PLIMSOLL_CUDA_FP8 = 4,
  PLIMSOLL_CUDA_INT8 = 5,
  PLIMSOLL_CUDA_INT4 = 6
};

typedef struct PlimsollCudaWeight {
  const void* data; /* null: absent */
  const void* scales;
  int64_t rows;
  int64_t cols;
  int64_t group;
  int32_t type;
} PlimsollCudaWeight;

typedef struct PlimsollCudaEmbed {
  const int32_t* ids;   /* a negative one leads to drawn[-1 - id] */
  const int32_t* drawn; /* or null */
  int64_t rows;
  PlimsollCudaWeight table;
  float scale;
  float* out;
} PlimsollCudaEmbed;

typedef struct PlimsollCudaRmsNorm {
  const float* x;
  int64_t rows;
  int64_t cols;
  PlimsollCudaWeight gain;
  float gain_offset;
  float epsilon;
  void* out; /* may be x where out_type is fp32 */
  int32_t out_type;
  int32_t accumulate; /* of fp32 results alone */
} PlimsollCudaRmsNorm;

typedef struct PlimsollCudaGatedActivation {
  const float* gate;
  const float* up;
  int64_t count;
  int32_t activation; /* by the values of plimsoll::Activation */
  void* out;          /* may be gate where out_type is fp32 */
  int32_t out_type;
} PlimsollCudaGatedActivation;

typedef struct PlimsollCudaLinear {
  const void* x; /* 16-bit, [rows, weight.cols] */
  int32_t x_type;
  int64_t rows;
  PlimsollCudaWeight weight;
  PlimsollCudaWeight bias;
  int32_t accumulate;
  float* out;
} PlimsollCudaLinear;

/* out[r, n] (+)= sum over k of x[r, k] * weight[n, k], for numbers of one 16-bit type. */
typedef struct PlimsollCudaGemm {
  const void* x;      /* [rows, inner] */
  const void* weight; /* [cols, inner] */
  int32_t type;
  int64_t rows;
  int64_t cols;
  int64_t inner;
  int32_t accumulate;
  float* out; /* [rows, out_stride] */
  int64_t out_stride;
} PlimsollCudaGemm;

typedef struct PlimsollCudaSoftcap {
  float* x;
  int64_t count;
  float cap;
} PlimsollCudaSoftcap;

typedef struct PlimsollCudaRoute {
  const float* logits;
  const float* shared; /* null: no expert is shared */
  int64_t rows;
  int32_t experts;
  int32_t active;
  int32_t renormalise;
  int32_t* chosen;
  float* shares;
} PlimsollCudaRoute;

/* As in the table of a layer's experts, which lies on the device. */
typedef struct PlimsollCudaExpert {
  PlimsollCudaWeight gate, up, down;
} PlimsollCudaExpert;

/* Each choice of a row has a slot; an expert's slots follow each other, and the experts in order.
 */
typedef struct PlimsollCudaExperts {
  const void* x; /* 16-bit, [rows, hidden] */
  int32_t x_type;
  const int32_t* chosen;
  const float* shares;
  int64_t rows;
  int64_t choices;
  int64_t hidden;
  const PlimsollCudaExpert* experts; /* [count], of one type; 64 divides their widths */
  int64_t count;
  int64_t width; /* of the widest */
  int32_t type;
  int32_t groups_of_32; /* whether columns share a scale by 32, or by a multiple of 64 or all */
  int32_t activation;   /* by the values of plimsoll::Activation */
  void* gathered;       /* 16-bit, [slots, hidden] */
  float* gate;          /* [slots, width]; of an expert, rows as narrow as it is */
  float* up;            /* the same */
  void* gated;          /* 16-bit, the same; may be x */
  float* mixed;         /* [slots, hidden] */
  int32_t* choice_of_slot;
  int32_t* slot_of_choice;
  int32_t* first_slot; /* [count + 1] */
  float* out;
} PlimsollCudaExperts;

/* How one token is drawn (sampling_rule.h). */
typedef struct PlimsollCudaDraw {
  float rate;      /* log2(e) / temperature; 0: the largest logit is taken */
  uint32_t top_k;  /* 0: all */
  uint64_t share;  /* top_p in units of 2^-32; 2^32: all */
  uint64_t random; /* of the draw: all bits random */
} PlimsollCudaDraw;

/* tokens[r], drawn from the row of logits as draws[r] says; -1 from a row of NaN. */
typedef struct PlimsollCudaSample {
  const float* logits; /* [rows, vocab] */
  int64_t rows;
  int64_t vocab; /* at most 2^22 */
  const PlimsollCudaDraw* draws;
  int32_t* tokens;
} PlimsollCudaSample;

/* One layer of the paged cache; offsets and strides in bytes. */
typedef struct PlimsollCudaCache {
  unsigned char* pool;
  int32_t type;
  int32_t block_tokens_log2;
  int64_t block_bytes;
  int64_t layer_offset;
  int64_t head_bytes;
  int64_t kv_bytes;
  int64_t row_bytes;
  int64_t scales_offset; /* of the layer's words, from the start of a block */
  int32_t kv_heads;
  int32_t head_dim;
} PlimsollCudaCache;

typedef struct PlimsollCudaRow {
  int64_t position;
  const int32_t* table; /* null: nothing is rotated or stored */
} PlimsollCudaRow;

typedef struct PlimsollCudaAppend {
  float* q;
  float* k;
  const float* v;
  int64_t rows;
  int64_t heads;
  int64_t rotated_dims;
  const float* cos;
  const float* sin;
  const PlimsollCudaRow* places;
  PlimsollCudaCache cache;
} PlimsollCudaAppend;

#endif
