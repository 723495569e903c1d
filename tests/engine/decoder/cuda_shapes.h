// Models wide enough for CUDA's kernels: heads of 64, columns in blocks of 64.
#pragma once

#include "tests/engine/support/tiny_model.h"

namespace plimsoll {

inline TinyShape CudaShape() {
  TinyShape shape;
  shape.layers = 2;
  shape.hidden = 128;
  shape.intermediate = 192;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 64;
  return shape;
}

// Two plans of attention, caps on scores and logits.
inline TinyShape GemmaShape() {
  TinyShape shape = CudaShape();
  shape.architecture = "Gemma2ForCausalLM";
  shape.tied = true;
  shape.more =
      R"(, "sliding_window": 20, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0)"
      R"(, "query_pre_attn_scalar": 64, "hidden_activation": "gelu_pytorch_tanh")";
  return shape;
}

inline TinyShape MixtralShape() {
  TinyShape shape = CudaShape();
  shape.dtype = "float16";
  shape.architecture = "MixtralForCausalLM";
  shape.more = R"(, "num_local_experts": 4, "num_experts_per_tok": 2)";
  return shape;
}

}  // namespace plimsoll
