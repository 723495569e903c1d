// The module's only symbol, and the calls behind it.
#include "engine/device/cuda_module.h"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <memory>

#include "engine/device/cuda_error.h"
#include "engine/device/cuda_gemm.h"
#include "engine/device/cuda_graph.h"
#include "engine/device/cuda_kernels.h"
#include "engine/device/cuda_memory.h"

namespace plimsoll::cuda {
namespace {

constexpr int64_t kSlabGranule = int64_t{2} << 20;  // what the driver maps by anyway

int chosen_device = 0;
int64_t free_without_libraries = 0;  // when the context had started
int64_t free_with_libraries = 0;     // when the kernels were open
int64_t device_bytes = 0;

// What is free, and what there is.
int FreeBytes(int64_t* free, PlimsollCudaMessage* message) {
  size_t total_bytes = 0;
  size_t free_bytes = 0;
  const int code = Report(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo", message);
  device_bytes = static_cast<int64_t>(total_bytes);
  *free = static_cast<int64_t>(free_bytes);
  return code;
}

int Open(int device, PlimsollCudaMessage* message) {
  int devices = 0;
  int code = Report(cudaGetDeviceCount(&devices), "cudaGetDeviceCount", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  code = Report(cudaSetDevice(device), "cudaSetDevice", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  chosen_device = device;
  code = Report(cudaFree(nullptr), "cudaFree", message);  // starts the context
  if (code == PLIMSOLL_CUDA_OK) code = FreeBytes(&free_without_libraries, message);
  if (code == PLIMSOLL_CUDA_OK) code = OpenKernels(message);
  return code == PLIMSOLL_CUDA_OK ? FreeBytes(&free_with_libraries, message) : code;
}

int Describe(PlimsollCudaDevice* device, PlimsollCudaMessage* message) {
  cudaDeviceProp properties;
  int code = Report(cudaGetDeviceProperties(&properties, chosen_device), "cudaGetDeviceProperties",
                    message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  code = Report(cudaDeviceGetPCIBusId(device->pci_bus_id, sizeof device->pci_bus_id, chosen_device),
                "cudaDeviceGetPCIBusId", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  std::snprintf(device->name, sizeof device->name, "%s", properties.name);
  device->multiprocessors = properties.multiProcessorCount;
  device->compute_capability = properties.major * 10 + properties.minor;
  device->threads_per_multiprocessor = properties.maxThreadsPerMultiProcessor;
  device->context_bytes = device_bytes - free_without_libraries;
  device->library_bytes = free_without_libraries - free_with_libraries;
  device->library_asked_bytes = KernelBytes() + kGemmWorkspaceBytes;
  return PLIMSOLL_CUDA_OK;
}

int Memory(int64_t* total, int64_t* free, PlimsollCudaMessage* message) {
  const int code = FreeBytes(free, message);
  *total = device_bytes;
  return code;
}

int Synchronize(PlimsollCudaMessage* message) {
  return Report(cudaDeviceSynchronize(), "cudaDeviceSynchronize", message);
}

int Allocate(int64_t bytes, void** memory, PlimsollCudaMessage* message) {
  return Report(cudaMalloc(memory, static_cast<size_t>(bytes)), "cudaMalloc", message);
}

void Release(void* memory) { static_cast<void>(cudaFree(memory)); }

// In order with the kernels, and done when it returns.
int Copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind,
         PlimsollCudaMessage* message) {
  const int code = Report(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, Stream()),
                          "cudaMemcpyAsync", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  return Report(cudaStreamSynchronize(Stream()), "cudaStreamSynchronize", message);
}

int CopyToDevice(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message) {
  return Copy(to, from, bytes, cudaMemcpyHostToDevice, message);
}

int CopyToHost(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message) {
  return Copy(to, from, bytes, cudaMemcpyDeviceToHost, message);
}

int CopyAll(const PlimsollCudaCopy* copies, int64_t count, PlimsollCudaMessage* message) {
  for (int64_t i = 0; i < count; ++i) {
    const PlimsollCudaCopy& each = copies[i];
    const int code = Report(cudaMemcpyAsync(each.to, each.from, static_cast<size_t>(each.bytes),
                                            cudaMemcpyDefault, Stream()),
                            "cudaMemcpyAsync", message);
    if (code != PLIMSOLL_CUDA_OK) return code;
  }
  return Report(cudaStreamSynchronize(Stream()), "cudaStreamSynchronize", message);
}

int Pin(void* memory, int64_t bytes, PlimsollCudaMessage* message) {
  return Report(cudaHostRegister(memory, static_cast<size_t>(bytes), cudaHostRegisterDefault),
                "cudaHostRegister", message);
}

void Unpin(void* memory) { static_cast<void>(cudaHostUnregister(memory)); }

int CopyOnDevice(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message) {
  return Report(
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, Stream()),
      "cudaMemcpyAsync", message);
}

int QueueToDevice(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message) {
  return Report(
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, Stream()),
      "cudaMemcpyAsync", message);
}

int QueueToHost(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message) {
  return Report(
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, Stream()),
      "cudaMemcpyAsync", message);
}

cudaEvent_t timer_begin = nullptr;
cudaEvent_t timer_end = nullptr;

int StartTimer(PlimsollCudaMessage* message) {
  for (cudaEvent_t* event : {&timer_begin, &timer_end}) {
    if (*event != nullptr) continue;
    const int code = Report(cudaEventCreate(event), "cudaEventCreate", message);
    if (code != PLIMSOLL_CUDA_OK) return code;
  }
  return Report(cudaEventRecord(timer_begin, Stream()), "cudaEventRecord", message);
}

int StopTimer(double* seconds, PlimsollCudaMessage* message) {
  int code = Report(cudaEventRecord(timer_end, Stream()), "cudaEventRecord", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  code = Report(cudaEventSynchronize(timer_end), "cudaEventSynchronize", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  float milliseconds = 0;
  code = Report(cudaEventElapsedTime(&milliseconds, timer_begin, timer_end), "cudaEventElapsedTime",
                message);
  *seconds = milliseconds / 1000.0;
  return code;
}

int ArenaGranule(int64_t* bytes, PlimsollCudaMessage* message) {
  if (HasVmm(chosen_device)) return VmmGranule(chosen_device, bytes, message);
  *bytes = kSlabGranule;
  return PLIMSOLL_CUDA_OK;
}

int ArenaCreate(int64_t chunk_bytes, int64_t chunks, PlimsollCudaArena** arena,
                PlimsollCudaMessage* message) {
  const ArenaShape shape = {chosen_device, chunk_bytes, chunks};
  std::unique_ptr<PlimsollCudaArena> created;
  const int code = HasVmm(chosen_device) ? CreateVmmArena(shape, &created, message)
                                         : CreateSlabArena(shape, &created, message);
  *arena = created.release();
  return code;
}

void ArenaDestroy(PlimsollCudaArena* arena) { delete arena; }

const char* ArenaKind(const PlimsollCudaArena* arena) { return arena->Kind(); }

void* ArenaBase(const PlimsollCudaArena* arena) { return arena->Base(); }

int ArenaCommit(PlimsollCudaArena* arena, int64_t first, int64_t count,
                PlimsollCudaMessage* message) {
  return arena->Commit(first, count, message);
}

int ArenaDecommit(PlimsollCudaArena* arena, int64_t first, int64_t count,
                  PlimsollCudaMessage* message) {
  return arena->Decommit(first, count, message);
}

int ArenaCanExport(const PlimsollCudaArena* arena) { return arena->CanExport(); }

int ArenaExport(PlimsollCudaArena* arena, int64_t chunk, int* file, PlimsollCudaMessage* message) {
  return arena->Export(chunk, file, message);
}

int ArenaImport(PlimsollCudaArena* arena, int64_t chunk, int file, int writable,
                PlimsollCudaMessage* message) {
  return arena->Import(chunk, file, writable != 0, message);
}

const PlimsollCudaModule kModule = {
    .version = PLIMSOLL_CUDA_VERSION,
    .can_decode = 1,
    .open = &Open,
    .describe = &Describe,
    .memory = &Memory,
    .synchronize = &Synchronize,
    .allocate = &Allocate,
    .release = &Release,
    .copy_to_device = &CopyToDevice,
    .copy_to_host = &CopyToHost,
    .copy_all = &CopyAll,
    .pin = &Pin,
    .unpin = &Unpin,
    .copy_on_device = &CopyOnDevice,
    .queue_to_device = &QueueToDevice,
    .queue_to_host = &QueueToHost,
    .begin_capture = &BeginCapture,
    .end_capture = &EndCapture,
    .launch_graph = &LaunchGraph,
    .destroy_graph = &DestroyGraph,
    .start_timer = &StartTimer,
    .stop_timer = &StopTimer,
    .arena_granule = &ArenaGranule,
    .arena_create = &ArenaCreate,
    .arena_destroy = &ArenaDestroy,
    .arena_kind = &ArenaKind,
    .arena_base = &ArenaBase,
    .arena_commit = &ArenaCommit,
    .arena_decommit = &ArenaDecommit,
    .arena_can_export = &ArenaCanExport,
    .arena_export = &ArenaExport,
    .arena_import = &ArenaImport,
    .kernels = Kernels(),
};

}  // namespace
}  // namespace plimsoll::cuda

extern "C" __attribute__((visibility("default"))) const PlimsollCudaModule* plimsoll_cuda_module(
    void) {
  return &plimsoll::cuda::kModule;
}
