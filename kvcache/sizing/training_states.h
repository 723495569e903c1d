// What is kept of each parameter between steps: weights, gradients, optimizer states.
//
//   bytes of a parameter  weights  gradients  master  moments
//   full-fp32                   4          4       -        8   16
//   mixed                       2          2       4        8   16
//   mixed-fp32-grads            2          4       4        8   18
//   mixed-both-grads            2        2+4       4        8   20
//   bf16                        2          2       -        4    8
//   adam8bit                    2          2       4  2+8/256   10.03
//   bf16-adam8bit               2          2       -  2+8/256   6.03
//   sgd                         2          2       4        4   12
//   lora, qlora: adapters       4          4       -        8   16   and a frozen base
//
// Eight-bit moments are two bytes and, for each block of 256, two fp32 maxima; a tensor of
// fewer than 4096 elements keeps them in fp32. A frozen base has 2 bytes a parameter, or, for
// qlora, NF4 with double quantisation (weight_bytes.h) in its matrices and 2 bytes elsewhere.
//
// Tensor parallelism splits matrices, embedding and head, and repeats the rest on every GPU;
// adapters are repeated too. Expert parallelism gives each replica its share of the experts, which
// are told apart here because fewer replicas then hold the same ones. `model` is what one pipeline
// stage holds.
//
// Threads: pure. Cost: O(tensors). Errors: InvalidArgument naming the field.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/training_options.h"
#include "kvcache/sizing/training_textbook.h"

namespace plimsoll {

// Bytes of one trained parameter.
struct StateRecipe {
  int64_t weights;
  int64_t gradients;          // kept until the step
  int64_t backward_gradient;  // as the backward pass writes it, and as offload moves it
  int64_t master;             // an fp32 copy of the weights, an optimizer state
  int64_t moments;            // 0 where they are in 8 bits
  bool moments_in_8_bits;
};

StateRecipe RecipeOf(TrainingMethod method);

// The parameters of one GPU before ZeRO, told apart by what training does with them.
struct TrainingParameters {
  int64_t trained = 0;  // of all kinds
  int64_t trained_experts = 0;
  Bytes moments_8bit = Bytes(0);  // of `trained`
  Bytes moments_8bit_experts = Bytes(0);
  Bytes frozen = Bytes(0);  // weights of the base, where only adapters are trained
  Bytes frozen_experts = Bytes(0);
  std::string frozen_formula = {};
  int64_t small = 0;           // in tensors that ZeRO-3 leaves whole on every GPU
  int64_t largest_matrix = 0;  // elements
};

// Tensors of at most this many elements are not partitioned by ZeRO-3.
inline constexpr int64_t kPersistenceThreshold = 100'000;

// Refuses ranks that do not divide the experts of the whole model, or where it has none.
absl::Status CheckExperts(const ModelConfig& model, int64_t ranks);

absl::StatusOr<TrainingParameters> TrainingParametersOf(const ModelConfig& model,
                                                        const TrainingOptions& options);

// The textbook's version: NF4 is half a byte, everything is split evenly and has one block size,
// and the matrices that can be adapted are q, k, v, o (h x h), up and down (h x 4h).
absl::StatusOr<TrainingParameters> TrainingParametersOf(const TextbookModel& model,
                                                        const TrainingOptions& options);

}  // namespace plimsoll
