// Each kernel of a device by itself: its answer beside the reference's, its time beside the time
// that moving its bytes takes, or what it computes where that takes longer, and beside a peer in
// the same run.
//
// The bound is measured on the device itself: on a GPU by copying memory, read and written bytes
// together, on the CPU by reading; and by the library's product of large matrices of 16 bits, where
// there is a library.
//
// Threads: one. Cost: some seconds, and memory for the largest case. Errors: those of the device;
// Unimplemented for a kernel that it lacks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/device/backend.h"

namespace plimsoll {

struct KernelBenchOptions {
  bool small = false;  // cases of a few megabytes, to see that everything works
};

struct KernelResult {
  std::string kernel;   // "linear int4 8192 -> 28672"
  int64_t rows = 0;     // of x, or sequences
  double seconds = 0;   // the median of several runs
  double bytes = 0;     // that it has to read
  double flops = 0;     // that it has to compute; 0: next to nothing beside that
  double distance = 0;  // of its answer from the reference's, relative L2
  double tolerance = 0;
  std::string peer;  // empty: none
  double peer_seconds = 0;

  bool IsRight() const { return distance <= tolerance; }
};

struct KernelBench {
  std::string device;
  double bandwidth = 0;  // bytes per second
  double flops = 0;      // per second; 0: not measured
  std::vector<KernelResult> results;
};

// Bytes per second that the device moves: the bound of what only has to read.
absl::StatusOr<double> MeasureBandwidth(const DeviceBackend& device);

absl::StatusOr<KernelBench> MeasureKernels(const DeviceBackend& device,
                                           const KernelBenchOptions& options);

// Of result.seconds, what the bound alone would take: moving its bytes or computing, whichever is
// longer.
double ShareOfBound(const KernelBench& bench, const KernelResult& result);

std::string KernelsAsText(const KernelBench& bench);
std::string KernelsAsJson(const KernelBench& bench);

}  // namespace plimsoll
