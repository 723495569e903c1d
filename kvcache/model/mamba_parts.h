// Recurrent layers: what their tensors are, and what they keep of a sequence.
//
// Each keeps the last (kernel - 1) columns that went into its convolution, and a state.
//
// Threads: none. Cost: O(layers). Errors: in the ConfigFields given.
#pragma once

#include <cstdint>
#include <string_view>

#include "kvcache/model/config_fields.h"
#include "kvcache/model/model_config.h"
#include "kvcache/model/tensor_list.h"

namespace plimsoll {

// Mamba 1: a state of `state` numbers for each of `inner` channels.
struct Mamba1 {
  int64_t inner;
  int64_t state;
  int64_t kernel;
  int64_t rank;  // of the time step's projection
  bool conv_bias = true;
  bool bias = false;        // of the projections in and out
  bool step_norms = false;  // norms over B, C and the time step
};
void AddMamba1(ModelConfig& model, TensorList& list, std::string_view prefix, const Mamba1& mamba);
RecurrentSpec StateOf(const Mamba1& mamba);

// Mamba 2: a state of head_dim x `state` numbers for each head; B and C shared within a group.
struct Mamba2 {
  int64_t heads;
  int64_t head_dim;
  int64_t groups;
  int64_t state;
  int64_t kernel;
  bool conv_bias = true;
  bool bias = false;
  int64_t inner() const { return heads * head_dim; }
};
void AddMamba2(ModelConfig& model, TensorList& list, std::string_view prefix, const Mamba2& mamba);
RecurrentSpec StateOf(const Mamba2& mamba);
// As Bamba and Granite spell it: mamba_n_heads, mamba_d_head, mamba_expand, ...
Mamba2 ReadMamba2(ConfigFields& fields, int64_t hidden);

// Gated delta net: a key_dim x value_dim state for each value head.
struct DeltaNet {
  int64_t key_heads;
  int64_t value_heads;
  int64_t key_dim;
  int64_t value_dim;
  int64_t kernel;
  bool
      fused;  // q, k, v and z in one matrix, b and a in another; else q, k, v in one, z, b, a apart
};
void AddDeltaNet(ModelConfig& model, TensorList& list, const DeltaNet& net);
RecurrentSpec StateOf(const DeltaNet& net);

// The type that the file gives its states, under `name`.
std::optional<ElementType> ReadStateType(ConfigFields& fields, std::string_view name);

// Bounds of fields that only recurrent layers have.
inline constexpr int64_t kMaxKernel = 64;
inline constexpr int64_t kMaxExpand = 256;

}  // namespace plimsoll
