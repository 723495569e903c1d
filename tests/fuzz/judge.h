// What must hold of a model that any reader accepted, whatever the bytes were: aborts where it
// does not, which the fuzzer reports with the bytes that did it.
#pragma once

#include "absl/status/status.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// A refusal is one line, not long, and has no bytes that a terminal would act on.
void JudgeRefusal(const absl::Status& status);

// Its counts are within their bounds, and plans of it, in every type of weights, add up to their
// budget exactly or are refused.
void JudgeModel(const ModelConfig& model);

}  // namespace plimsoll
