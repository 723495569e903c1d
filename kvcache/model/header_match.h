// What the headers of a checkpoint hold, laid beside the tensors that its configuration calls for.
//
// Checkpoints of one architecture spell the way to its language model differently ("model.",
// "model.language_model.", "language_model.model.", "transformer.", or nothing): names are compared
// without it. A quantised matrix is found by the names of its parts: packed numbers, scales, zero
// points, group indices.
//
// Threads: pure. Cost: O(tensors stored + tensors of the model). Errors: none; what does not match
// is a difference, and reported.
#pragma once

#include <cstdint>

#include "kvcache/model/model_config.h"
#include "kvcache/model/safetensors_header.h"

namespace plimsoll {

// Sets model.headers and the stored_bytes of every tensor: 0 for one that no file holds. A tensor
// whose layers differ in bytes becomes several, so that each has layers of equal bytes. What the
// files hold beside the language model joins model.left_out, or tells the size of what stands
// there.
void MatchHeaders(const StoredTensors& stored, int64_t files, ModelConfig& model);

}  // namespace plimsoll
