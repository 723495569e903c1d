// Where the states of training are held: split over replicas by ZeRO, moved off the GPU by
// offload; and the buffers that either needs.
//
// With N replicas, weights W, gradients G and optimizer states M of one of their ranks, a GPU
// holds
//
//   ZeRO 0: W + G + M     1: W + G + M/N     2: W + (G + M)/N     3: (W + G + M)/N
//
// With experts shared by e replicas, N/e of them hold the same ones and split their states.
//
// Buffers, in elements (DeepSpeed's defaults; none is larger than what passes through it):
//   stages 1 and 2  5e8 to reduce gradients, 5e8 to gather updated weights
//   stage 3         5e8 to reduce, 1e9 live weights, 5e7 prefetched, and the tensors of at most
//                   1e5 elements, which stay whole
//   offload         5e8 through which gradients leave, also at stage 0
//   qlora           one dequantised matrix in 16 bits
//
// Offload to the CPU moves gradients (as wide as the optimizer's weights) and optimizer states to
// host memory, each replica its part from stage 1 on, and at stage 3 the weights too. Offload to
// NVMe keeps the same there; host memory then holds the first 1e9 elements of weights, 5 buffers of
// 1e8 elements for the rest, and 4 buffers of up to 1e9 fp32 numbers for optimizer states.
//
// Moved in a step, for one GPU: gradients to the host as backward writes them; updated weights
// back, or at stage 3 the weights once for each pass (forward, backward, and full recompute). From
// NVMe: states are read and written once, weights read once for each pass and written once.
//
// Threads: pure. Cost: O(1). Errors: none; counts and options are bounded.
#pragma once

#include <optional>
#include <vector>

#include "kvcache/base/units.h"
#include "kvcache/sizing/training_options.h"
#include "kvcache/sizing/training_states.h"
#include "kvcache/sizing/training_term.h"

namespace plimsoll {

// What one GPU's rank keeps in a slower memory, and moves between there and the next faster one.
struct OffloadedBytes {
  Bytes weights, gradients, optimizer, buffers;
  Bytes read_per_step;     // towards the GPU
  Bytes written_per_step;  // away from it

  Bytes total() const { return weights + gradients + optimizer + buffers; }
};

struct TrainingPlacement {
  std::vector<TrainingTerm> terms;  // states and buffers, wherever they are held
  std::optional<OffloadedBytes> host;
  std::optional<OffloadedBytes> nvme;
};

TrainingPlacement PlaceStates(const TrainingParameters& parameters, const TrainingOptions& options);

}  // namespace plimsoll
