// What every table demands of its arguments, so that tables refuse alike.
//
// Threads: pure. Cost: a few comparisons (attention, append and experts: one per row). Errors: a
// shape that makes no sense aborts; Unimplemented, naming the operation and the type, for a type
// the CPU's tables cannot do.
#pragma once

#include "absl/status/status.h"
#include "engine/ops/ops.h"

namespace plimsoll {

absl::Status CheckArguments(const EmbedArgs& args);
absl::Status CheckArguments(const RmsNormArgs& args);
absl::Status CheckArguments(const LinearArgs& args);
absl::Status CheckArguments(const RotateAndAppendArgs& args);
absl::Status CheckArguments(const AttentionArgs& args);
absl::Status CheckArguments(const GatedActivationArgs& args);
absl::Status CheckArguments(const SoftcapArgs& args);
absl::Status CheckArguments(const RouteArgs& args);
absl::Status CheckArguments(const ExpertsArgs& args);
absl::Status CheckArguments(const SampleArgs& args);

}  // namespace plimsoll
