// The reference of each operation; see ops.h for what it computes. One file each,
// <operation>_reference.cc: scalar loops, double sums in index order, and nothing clever.
//
// Threads: any. Cost: not a goal. Errors: those of arguments.h.
#pragma once

#include "absl/status/status.h"
#include "engine/ops/ops.h"

namespace plimsoll::reference {

absl::Status Embed(const EmbedArgs& args);
absl::Status RmsNorm(const RmsNormArgs& args);
absl::Status Linear(const LinearArgs& args);
absl::Status RotateAndAppend(const RotateAndAppendArgs& args);
absl::Status Attention(const AttentionArgs& args);
absl::Status GatedActivation(const GatedActivationArgs& args);
absl::Status Softcap(const SoftcapArgs& args);
absl::Status Route(const RouteArgs& args);
absl::Status Experts(const ExpertsArgs& args);
absl::Status Sample(const SampleArgs& args);

}  // namespace plimsoll::reference
