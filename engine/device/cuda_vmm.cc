#include <cstdint>
#include <vector>

#include "engine/device/cuda_driver.h"
#include "engine/device/cuda_error.h"
#include "engine/device/cuda_memory.h"

namespace plimsoll::cuda {
namespace {

bool HasAttribute(CUdevice_attribute attribute, int device) {
  int value = 0;
  return Driver()->device_get_attribute(&value, attribute, device) == CUDA_SUCCESS && value != 0;
}

CUmemLocation OnDevice(int device) {
  CUmemLocation location = {};
  location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  location.id = device;
  return location;
}

// Device memory that can be exported, where the device can.
CUmemAllocationProp Properties(int device) {
  CUmemAllocationProp properties = {};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = OnDevice(device);
  if (HasAttribute(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, device)) {
    properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  }
  return properties;
}

class VmmArena final : public PlimsollCudaArena {
 public:
  VmmArena(const ArenaShape& shape, CUdeviceptr base)
      : driver_(*Driver()),
        properties_(Properties(shape.device)),
        chunk_(static_cast<size_t>(shape.chunk_bytes)),
        base_(base),
        handles_(static_cast<size_t>(shape.chunks), 0) {}
  VmmArena(const VmmArena&) = delete;
  VmmArena& operator=(const VmmArena&) = delete;
  ~VmmArena() override;

  const char* Kind() const override { return "cuda-vmm"; }
  void* Base() const override { return reinterpret_cast<void*>(base_); }
  int Commit(int64_t first, int64_t count, PlimsollCudaMessage* message) override;
  int Decommit(int64_t first, int64_t count, PlimsollCudaMessage* message) override;
  bool CanExport() const override { return properties_.requestedHandleTypes != 0; }
  int Export(int64_t chunk, int* file, PlimsollCudaMessage* message) override;
  int Import(int64_t chunk, int file, bool writable, PlimsollCudaMessage* message) override;

 private:
  CUdeviceptr Address(size_t chunk) const { return base_ + chunk * chunk_; }
  // A new chunk, respectively `handle`, which it takes over and on failure releases.
  int MapChunk(size_t chunk, PlimsollCudaMessage* message);
  int Map(size_t chunk, CUmemGenericAllocationHandle handle, PlimsollCudaMessage* message);
  int Allow(size_t begin, size_t end, CUmemAccess_flags flags, PlimsollCudaMessage* message);
  // Takes back chunks [begin, end), all of them mapped. They are part of a call that failed, or of
  // an arena that ends, so nobody is left to tell of a second failure.
  void Drop(size_t begin, size_t end);

  const DriverCalls& driver_;
  const CUmemAllocationProp properties_;
  const size_t chunk_;
  const CUdeviceptr base_;
  std::vector<CUmemGenericAllocationHandle> handles_;  // zero: not committed
};

VmmArena::~VmmArena() {
  cudaDeviceSynchronize();
  for (size_t i = 0; i < handles_.size(); ++i) {
    if (handles_[i] != 0) Drop(i, i + 1);
  }
  driver_.address_free(base_, chunk_ * handles_.size());
}

void VmmArena::Drop(size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) {
    driver_.unmap(Address(i), chunk_);
    driver_.release(handles_[i]);
    handles_[i] = 0;
  }
}

int VmmArena::MapChunk(size_t chunk, PlimsollCudaMessage* message) {
  CUmemGenericAllocationHandle handle = 0;
  const int code = Report(driver_.create(&handle, chunk_, &properties_, 0), "cuMemCreate", message);
  return code == PLIMSOLL_CUDA_OK ? Map(chunk, handle, message) : code;
}

int VmmArena::Map(size_t chunk, CUmemGenericAllocationHandle handle, PlimsollCudaMessage* message) {
  const int code = Report(driver_.map(Address(chunk), chunk_, 0, handle, 0), "cuMemMap", message);
  if (code != PLIMSOLL_CUDA_OK) {
    driver_.release(handle);
    return code;
  }
  handles_[chunk] = handle;
  return PLIMSOLL_CUDA_OK;
}

int VmmArena::Allow(size_t begin, size_t end, CUmemAccess_flags flags,
                    PlimsollCudaMessage* message) {
  CUmemAccessDesc access = {};
  access.location = properties_.location;
  access.flags = flags;
  const int code = Report(driver_.set_access(Address(begin), (end - begin) * chunk_, &access, 1),
                          "cuMemSetAccess", message);
  if (code != PLIMSOLL_CUDA_OK) Drop(begin, end);
  return code;
}

int VmmArena::Commit(int64_t first, int64_t count, PlimsollCudaMessage* message) {
  const size_t begin = static_cast<size_t>(first);
  const size_t end = begin + static_cast<size_t>(count);
  for (size_t i = begin; i < end; ++i) {
    const int code = MapChunk(i, message);
    if (code == PLIMSOLL_CUDA_OK) continue;
    Drop(begin, i);
    return code;
  }
  return Allow(begin, end, CU_MEM_ACCESS_FLAGS_PROT_READWRITE, message);
}

// Waits for the device first: the page table must not change under a kernel. One call unmaps all,
// so there is no half of it to undo.
int VmmArena::Decommit(int64_t first, int64_t count, PlimsollCudaMessage* message) {
  int code = Report(cudaDeviceSynchronize(), "cudaDeviceSynchronize", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  const size_t begin = static_cast<size_t>(first);
  const size_t end = begin + static_cast<size_t>(count);
  code = Report(driver_.unmap(Address(begin), (end - begin) * chunk_), "cuMemUnmap", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  for (size_t i = begin; i < end; ++i) {
    driver_.release(handles_[i]);
    handles_[i] = 0;
  }
  return PLIMSOLL_CUDA_OK;
}

int VmmArena::Export(int64_t chunk, int* file, PlimsollCudaMessage* message) {
  return Report(driver_.export_handle(file, handles_[static_cast<size_t>(chunk)],
                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
                "cuMemExportToShareableHandle", message);
}

// The handle keeps the memory; the file may be closed.
int VmmArena::Import(int64_t chunk, int file, bool writable, PlimsollCudaMessage* message) {
  const size_t index = static_cast<size_t>(chunk);
  CUmemGenericAllocationHandle handle = 0;
  int code =
      Report(driver_.import_handle(&handle, reinterpret_cast<void*>(static_cast<uintptr_t>(file)),
                                   CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
             "cuMemImportFromShareableHandle", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  code = Map(index, handle, message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  return Allow(index, index + 1,
               writable ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_READ,
               message);
}

}  // namespace

bool HasVmm(int device) {
  return Driver() != nullptr &&
         HasAttribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device);
}

int VmmGranule(int device, int64_t* bytes, PlimsollCudaMessage* message) {
  const CUmemAllocationProp properties = Properties(device);
  size_t granule = 0;
  const int code =
      Report(Driver()->get_granularity(&granule, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
             "cuMemGetAllocationGranularity", message);
  *bytes = static_cast<int64_t>(granule);
  return code;
}

int CreateVmmArena(const ArenaShape& shape, std::unique_ptr<PlimsollCudaArena>* arena,
                   PlimsollCudaMessage* message) {
  const size_t bytes = static_cast<size_t>(shape.chunk_bytes * shape.chunks);
  CUdeviceptr base = 0;
  const int code =
      Report(Driver()->address_reserve(&base, bytes, 0, 0, 0), "cuMemAddressReserve", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  *arena = std::make_unique<VmmArena>(shape, base);
  return PLIMSOLL_CUDA_OK;
}

}  // namespace plimsoll::cuda
