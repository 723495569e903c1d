// How fast this machine reads memory that is in no cache, with all the threads that operations use:
// the bound of a decode step on the CPU. From the device's own memory, as weights and cache are: on
// pages of another size it would be another figure.
//
// Threads: one. Cost: 256 MiB for a moment, under a second. Errors: there is no such memory.
#pragma once

#include "absl/status/statusor.h"
#include "engine/device/backend.h"

namespace plimsoll {

// Bytes per second, of the best of a few rounds.
absl::StatusOr<double> MeasureReadBandwidth(const DeviceBackend& device);

}  // namespace plimsoll
