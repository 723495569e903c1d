// The inference plan of one engine: `plimsoll plan`'s, for what this engine really allocates.
//
// Threads: pure. Cost: that of three plans. Errors: InvalidArgument naming the option;
// ResourceExhausted with both figures when the model, or the blocks asked for, do not fit.
#pragma once

#include "absl/status/statusor.h"
#include "engine/decoder/decoder.h"
#include "engine/engine.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

// What the decoder of such an engine allocates for a step.
Decoder::Options DecoderOptionsFor(const LoopOptions& loop);

// `free` is what `device` has; what the plan takes beyond it is refused.
absl::StatusOr<InferencePlan> PlanEngine(const ModelConfig& model, const DeviceBackend& device,
                                         const EngineOptions& options, Bytes free);

}  // namespace plimsoll
