// Seeded random weights for test models, scaled so that every part of the model shows in the
// logits.
//
// Matrices have a standard deviation of 1.5 / sqrt(fan in), embeddings 1, norms 0.2 around what
// multiplies by 1, and biases 0.1. With all weights small and alike, a wrong position or a wrong
// head would change next to nothing; with these it changes everything.
//
// Threads: pure. Cost: a few nanoseconds per element. Errors: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kvcache/base/element_type.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// One tensor's elements, in order. The same seed and name give the same numbers, whatever else
// the model holds. Close to normal: the sum of four uniform numbers, exact on every machine, and
// never beyond 3.5 standard deviations.
class RandomTensor {
 public:
  // `norm_mean` is the gain of a norm that multiplies by 1.
  RandomTensor(uint64_t seed, std::string_view name, const TensorSpec& spec, double norm_mean = 1);

  float Next();
  // The next elements, stored as `type` (fp32, fp16 or bf16) from the start of `out`, a whole
  // number of elements.
  void Fill(ElementType type, std::span<std::byte> out);

 private:
  uint64_t state_;
  double mean_ = 0;
  double deviation_ = 1;
};

}  // namespace plimsoll
