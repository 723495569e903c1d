#include "engine/device/choose_device.h"

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

absl::StatusOr<const DeviceBackend*> CudaThatDecodes(CudaLoader load_cuda) {
  absl::StatusOr<const DeviceBackend*> cuda = load_cuda();
  if (!cuda.ok()) return cuda;
  PLIMSOLL_RETURN_IF_ERROR((*cuda)->CanDecode());
  return cuda;
}

}  // namespace

absl::StatusOr<DeviceChoice> ChooseDevice(std::string_view wanted, CudaLoader load_cuda) {
  if (wanted == "cpu") return DeviceChoice{&CpuBackend(), ""};
  if (wanted != "auto" && wanted != "cuda") {
    return BadField("device", wanted, "auto, cuda or cpu");
  }
  const absl::StatusOr<const DeviceBackend*> cuda = CudaThatDecodes(load_cuda);
  if (cuda.ok()) return DeviceChoice{*cuda, ""};
  if (wanted == "cuda") return Annotate(cuda.status(), "device cuda");
  return DeviceChoice{&CpuBackend(), std::string(cuda.status().message())};
}

}  // namespace plimsoll
