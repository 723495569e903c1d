// A module in host memory, to test the program's side of the interface without a GPU. Its device
// has 16 MiB.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine/device/cuda_module.h"

struct PlimsollCudaArena {
  char* base;
  int64_t chunk_bytes;
};

namespace {

constexpr int64_t kDeviceBytes = int64_t{16} << 20;
constexpr int kOpenCode = FAKE_OPEN_CODE;  // what each build of this file pretends
int64_t used = 0;

int Fail(int code, const char* text, PlimsollCudaMessage* message) {
  std::snprintf(message->text, sizeof message->text, "%s", text);
  return code;
}

int Open(int, PlimsollCudaMessage* message) {
  if (kOpenCode == PLIMSOLL_CUDA_OK) return PLIMSOLL_CUDA_OK;
  return Fail(kOpenCode, "cudaGetDeviceCount: pretended (35)", message);
}

int Describe(PlimsollCudaDevice* device, PlimsollCudaMessage*) {
  *device = {"pretended", 4, 80};
  return PLIMSOLL_CUDA_OK;
}

int Memory(int64_t* total, int64_t* free, PlimsollCudaMessage*) {
  *total = kDeviceBytes;
  *free = kDeviceBytes - used;
  return PLIMSOLL_CUDA_OK;
}

int Synchronize(PlimsollCudaMessage* message) {
  return Fail(PLIMSOLL_CUDA_FAILED, "cudaDeviceSynchronize: pretended (700)", message);
}

int Allocate(int64_t bytes, void** memory, PlimsollCudaMessage*) {
  *memory = std::malloc(static_cast<size_t>(bytes));
  return PLIMSOLL_CUDA_OK;
}

int Copy(void* to, const void* from, int64_t bytes, PlimsollCudaMessage*) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
  return PLIMSOLL_CUDA_OK;
}

int CopyAll(const PlimsollCudaCopy* copies, int64_t count, PlimsollCudaMessage* message) {
  for (int64_t i = 0; i < count; ++i) {
    if (copies[i].bytes == 0)
      return Fail(PLIMSOLL_CUDA_FAILED, "cudaMemcpyAsync: pretended (1)", message);
    Copy(copies[i].to, copies[i].from, copies[i].bytes, message);
  }
  return PLIMSOLL_CUDA_OK;
}

// As if so much could be pinned.
int Pin(void*, int64_t bytes, PlimsollCudaMessage* message) {
  if (bytes <= kDeviceBytes) return PLIMSOLL_CUDA_OK;
  return Fail(PLIMSOLL_CUDA_OUT_OF_MEMORY, "cudaHostRegister: pretended (2)", message);
}
void Unpin(void*) {}

int StartTimer(PlimsollCudaMessage*) { return PLIMSOLL_CUDA_OK; }
int StopTimer(double* seconds, PlimsollCudaMessage*) {
  *seconds = 0.25;
  return PLIMSOLL_CUDA_OK;
}

int Granule(int64_t* bytes, PlimsollCudaMessage*) {
  *bytes = 4096;
  return PLIMSOLL_CUDA_OK;
}

int Create(int64_t chunk_bytes, int64_t chunks, PlimsollCudaArena** arena,
           PlimsollCudaMessage* message) {
  char* const base = static_cast<char*>(std::malloc(static_cast<size_t>(chunk_bytes * chunks)));
  if (base == nullptr) return Fail(PLIMSOLL_CUDA_OUT_OF_MEMORY, "malloc", message);
  *arena = new PlimsollCudaArena{base, chunk_bytes};
  return PLIMSOLL_CUDA_OK;
}

void Destroy(PlimsollCudaArena* arena) {
  std::free(arena->base);
  delete arena;
}

const char* Kind(const PlimsollCudaArena*) { return "fake"; }
void* Base(const PlimsollCudaArena* arena) { return arena->base; }

int Commit(PlimsollCudaArena* arena, int64_t, int64_t count, PlimsollCudaMessage* message) {
  if (used + count * arena->chunk_bytes > kDeviceBytes) {
    return Fail(PLIMSOLL_CUDA_OUT_OF_MEMORY, "cuMemCreate: out of memory (2)", message);
  }
  used += count * arena->chunk_bytes;
  return PLIMSOLL_CUDA_OK;
}

int Decommit(PlimsollCudaArena* arena, int64_t, int64_t count, PlimsollCudaMessage*) {
  used -= count * arena->chunk_bytes;
  return PLIMSOLL_CUDA_OK;
}

int CanExport(const PlimsollCudaArena*) { return FAKE_CAN_EXPORT; }

int Export(PlimsollCudaArena*, int64_t, int* file, PlimsollCudaMessage*) {
  *file = dup(STDERR_FILENO);
  return PLIMSOLL_CUDA_OK;
}

constexpr PlimsollCudaModule kModule = {
    .version = FAKE_VERSION,
    .can_decode = 0,
    .open = &Open,
    .describe = &Describe,
    .memory = &Memory,
    .synchronize = &Synchronize,
    .allocate = &Allocate,
    .release = &std::free,
    .copy_to_device = &Copy,
    .copy_to_host = &Copy,
    .copy_all = &CopyAll,
    .pin = &Pin,
    .unpin = &Unpin,
    .copy_on_device = &Copy,
    .start_timer = &StartTimer,
    .stop_timer = &StopTimer,
    .arena_granule = &Granule,
    .arena_create = &Create,
    .arena_destroy = &Destroy,
    .arena_kind = &Kind,
    .arena_base = &Base,
    .arena_commit = &Commit,
    .arena_decommit = &Decommit,
    .arena_can_export = &CanExport,
    .arena_export = &Export,
    .kernels = {},
};

}  // namespace

extern "C" const PlimsollCudaModule* plimsoll_cuda_module(void) { return &kModule; }
