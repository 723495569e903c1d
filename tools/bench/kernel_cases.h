// The cases of kernel_bench.h, each measured by one call.
//
// Threads, cost, errors: as kernel_bench.h says.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "kvcache/base/element_type.h"
#include "tools/bench/kernel_bench.h"

namespace plimsoll {

struct LinearCase {
  ElementType type;  // of weights: fp16, bf16, int8 or int4
  int64_t outputs, inputs, rows;
};

// The last rows of each sequence, which has `context` positions.
struct AttentionCase {
  ElementType type;  // of the cache
  int64_t heads, kv_heads, head_dim;
  int64_t sequences, context;
  // Layers whose K and V lie in one block, of which the first is read: with one, the blocks of a
  // layer lie together (layer-major); with several, a block's layers do (block-major).
  int64_t layers = 1;
  int64_t rows = 1;  // of each sequence; many: a chunk of a prompt

  int64_t AllRows() const { return sequences * rows; }
};

absl::StatusOr<KernelResult> MeasureLinear(const DeviceBackend& device, const LinearCase& test);
absl::StatusOr<KernelResult> MeasureAttention(const DeviceBackend& device,
                                              const AttentionCase& test);

// Seconds that `work` takes on the device: the median of several runs of as many calls as it takes
// to be timed well.
absl::StatusOr<double> SecondsOf(const DeviceBackend& device,
                                 const std::function<absl::Status()>& work);

// |got - want| / |want| over all elements, where a row of `got` is the row of `want` repeated.
double DistanceFromRepeated(const std::vector<float>& got, const std::vector<float>& want,
                            int64_t got_cols, int64_t want_cols);

}  // namespace plimsoll
