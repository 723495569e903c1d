// Which device an engine runs on, from what the user asked for.
//
// Threads: any. Cost: may load the CUDA module. Errors: as ChooseDevice says.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/device/backend.h"

namespace plimsoll {

struct DeviceChoice {
  const DeviceBackend* backend;
  std::string note;  // why "auto" chose the CPU; empty if the user did
};

using CudaLoader = absl::StatusOr<const DeviceBackend*> (*)();

// "cpu"; "cuda", or the reason why it cannot be; "auto": cuda if it can decode, else the CPU with
// the reason. InvalidArgument for any other word. The module is not loaded for "cpu".
absl::StatusOr<DeviceChoice> ChooseDevice(std::string_view wanted,
                                          CudaLoader load_cuda = &LoadCudaBackend);

}  // namespace plimsoll
