// The CPU's version of each operation; see ops.h for what it computes. One file each,
// <operation>_cpu.cc: Highway vectors of the widest kind the machine has, chosen at run time, on
// the threads of cpu_threads.h.
//
// Invariants: a row of a result depends on that row's inputs alone, bit for bit: not on the other
// rows of the call, nor on the number of threads. Sums are in fp32, a fixed order per machine.
//
// Threads: one call at a time. Cost: linear reads each weight once per 24 rows; no call allocates.
// Errors: those of arguments.h.
#pragma once

#include "absl/status/status.h"
#include "engine/ops/ops.h"

namespace plimsoll::cpu {

absl::Status Embed(const EmbedArgs& args);
absl::Status RmsNorm(const RmsNormArgs& args);
absl::Status Linear(const LinearArgs& args);
absl::Status RotateAndAppend(const RotateAndAppendArgs& args);
absl::Status Attention(const AttentionArgs& args);
absl::Status GatedActivation(const GatedActivationArgs& args);
absl::Status Softcap(const SoftcapArgs& args);
absl::Status Experts(const ExpertsArgs& args);
absl::Status Sample(const SampleArgs& args);

}  // namespace plimsoll::cpu
