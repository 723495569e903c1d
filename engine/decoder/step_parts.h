// What a decoder keeps for its passes: inputs, buffers, drawn tokens, and how work is cut up.
//
// Threads: none. Cost: nothing after creation. Errors: those of the device.
#pragma once

#include "absl/status/statusor.h"
#include "engine/decoder/attention_plans.h"
#include "engine/decoder/decoder.h"
#include "engine/decoder/drawn_tokens.h"
#include "engine/decoder/expert_tables.h"
#include "engine/decoder/layer_weights.h"
#include "engine/decoder/step_buffers.h"
#include "engine/decoder/step_inputs.h"
#include "engine/device/backend.h"

namespace plimsoll {

struct StepParts {
  AttentionPlans plans;
  StepInputs inputs;
  StepBuffers buffers;
  ExpertTables experts;
  DrawnTokens tokens;

  // Of the device.
  Bytes bytes() const {
    return inputs.bytes() + buffers.slab.bytes() + experts.bytes() + tokens.bytes();
  }
};

// For sequences of up to `positions` tokens.
struct StepExtent {
  Decoder::Options options;
  Tokens positions;
  Tokens block_tokens;
};

// bytes() of the parts that StepPartsFor makes.
Bytes StepPartBytes(const ModelConfig& model, const DeviceBackend& device,
                    const StepExtent& extent);

absl::StatusOr<StepParts> StepPartsFor(const ModelConfig& model, const DecoderWeights& weights,
                                       const DeviceBackend& device, const StepExtent& extent);

}  // namespace plimsoll
