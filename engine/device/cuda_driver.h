// Inside the CUDA module: the driver's functions for virtual memory, found through the runtime, so
// that nothing links libcuda and the module loads on a machine without a driver.
//
// Threads: any. Cost: Driver() looks them up once. Errors: null where one is missing.
#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>

namespace plimsoll::cuda {

struct DriverCalls {
  PFN_cuDeviceGetAttribute_v2000 device_get_attribute;
  PFN_cuMemGetAllocationGranularity_v10020 get_granularity;
  PFN_cuMemAddressReserve_v10020 address_reserve;
  PFN_cuMemAddressFree_v10020 address_free;
  PFN_cuMemCreate_v10020 create;
  PFN_cuMemRelease_v10020 release;
  PFN_cuMemMap_v10020 map;
  PFN_cuMemUnmap_v10020 unmap;
  PFN_cuMemSetAccess_v10020 set_access;
  PFN_cuMemExportToShareableHandle_v10020 export_handle;
  PFN_cuMemImportFromShareableHandle_v10020 import_handle;
};

// Null unless the driver has all of them.
const DriverCalls* Driver();

}  // namespace plimsoll::cuda
