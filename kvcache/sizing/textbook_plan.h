// Inference by the textbook: what is said of a model when all that is known is how many parameters
// it has, and how far that is from the exact plan of a model that is known.
//
//   weights        N x bytes of an element                  13e9 x 2 = 26 GB
//   input, output  b x s x h x bytes each                   1 x 1024 x 5120 x 2 = 10 MiB
//   K and V        2 x layers x h x bytes for one token     no heads shared
//   serving        1.5 to 2.5 times the weights             the rule of thumb
//   parameters     hV + L(12h^2 + 13h) + 2h                 of a model of that shape
//   vLLM's peak    38.5 x V x sequences of a step           while it starts; inferred from
//                                                           published logs
//
// Layers and h of a bare N are those of UsualShape.
//
// Threads: pure. Cost: none. Errors: InvalidArgument naming the option that is out of range.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/solve.h"
#include "kvcache/sizing/training_textbook.h"

namespace plimsoll {

struct TextbookOptions {
  int64_t parameters;  // 1 to kMaxTextbookParameters
  ElementType weights = ElementType::kFp16;
  ElementType kv = ElementType::kFp16;
  Tokens step = Tokens(1024);  // b * s; 1 to kMaxBatchedTokens
};

struct TextbookPlan {
  TextbookModel shape;
  Bytes weights_bytes, input_bytes, output_bytes, kv_bytes_per_token;
  Bytes serving_least_bytes, serving_most_bytes;  // 1.5 and 2.5 times the weights
  std::vector<PlanTerm> formulas;                 // of all of these
};
absl::StatusOr<TextbookPlan> PlanByTextbook(const TextbookOptions& options);

// The textbook beside the exact plan of one GPU. Errors are percent of the exact figure, above zero
// where the textbook says too much.
struct TextbookErrors {
  std::optional<int64_t> parameters;  // by the formula; none beyond 64 bits
  double parameters_error;
  Bytes serving_least_bytes, serving_most_bytes;
  Bytes itemised_bytes;  // all terms but the pool, and K and V of `load`
  WantedLoad load;
  double serving_least_error, serving_most_error;
  double itemised_ratio;  // to the weights: within 1.5 to 2.5 the rule holds
  Bytes vllm_peak_bytes;
};
// What vLLM takes beside the weights when it tries its largest step at start-up: nearly all of it
// is the sampler, so that it grows with the vocabulary and with the sequences of a step and not
// with the model. By default those are 1,024 on a GPU of 70 GiB and more, else 256.
Bytes VllmPeak(const ModelConfig& model, Bytes device);

TextbookErrors CompareWithTextbook(const ModelConfig& model, const InferencePlan& plan,
                                   const WantedLoad& load);

}  // namespace plimsoll
