#include "engine/device/cuda_driver.h"

#include <cuda_runtime_api.h>

namespace plimsoll::cuda {
namespace {

// `version` is that of CUDA in which the function got the type it is called by.
template <class Function>
bool Find(const char* name, unsigned version, Function& function) {
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &address, version, cudaEnableDefault, &found);
  function = reinterpret_cast<Function>(address);
  return error == cudaSuccess && found == cudaDriverEntryPointSuccess && address != nullptr;
}

bool FindAll(DriverCalls& calls) {
  constexpr unsigned kVmm = 10020;
  return Find("cuDeviceGetAttribute", 2000, calls.device_get_attribute) &&
         Find("cuMemGetAllocationGranularity", kVmm, calls.get_granularity) &&
         Find("cuMemAddressReserve", kVmm, calls.address_reserve) &&
         Find("cuMemAddressFree", kVmm, calls.address_free) &&
         Find("cuMemCreate", kVmm, calls.create) && Find("cuMemRelease", kVmm, calls.release) &&
         Find("cuMemMap", kVmm, calls.map) && Find("cuMemUnmap", kVmm, calls.unmap) &&
         Find("cuMemSetAccess", kVmm, calls.set_access) &&
         Find("cuMemExportToShareableHandle", kVmm, calls.export_handle) &&
         Find("cuMemImportFromShareableHandle", kVmm, calls.import_handle);
}

}  // namespace

const DriverCalls* Driver() {
  static DriverCalls calls = {};
  static const bool complete = FindAll(calls);
  return complete ? &calls : nullptr;
}

}  // namespace plimsoll::cuda
