// A module in host memory, to test the program's side of the interface without a GPU. Its device
// has 16 MiB.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/device/cuda_module.h"

// Each committed chunk is a file of its own, mapped where it belongs, as a GPU's driver does it.
struct PlimsollCudaArena {
  char* base;
  size_t chunk_bytes;
  std::vector<int> files;   // below 0: nothing is there
  std::vector<bool> taken;  // from the device, and not from another process
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
  *device = {"pretended", 4, 80, 1024, "0000:65:00.0", 9'000'000, 3'000'000, 2'000'000};
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

int BeginCapture(PlimsollCudaMessage* message) {
  return Fail(PLIMSOLL_CUDA_UNSUPPORTED, "cudaStreamBeginCapture: pretended (900)", message);
}
int EndCapture(PlimsollCudaGraph**, PlimsollCudaMessage*) { return PLIMSOLL_CUDA_FAILED; }
int LaunchGraph(PlimsollCudaGraph*, PlimsollCudaMessage*) { return PLIMSOLL_CUDA_FAILED; }
void DestroyGraph(PlimsollCudaGraph*) {}

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
  const size_t count = static_cast<size_t>(chunks);
  const size_t bytes = static_cast<size_t>(chunk_bytes);
  void* const base =
      mmap(nullptr, count * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return Fail(PLIMSOLL_CUDA_OUT_OF_MEMORY, "mmap", message);
  *arena = new PlimsollCudaArena{static_cast<char*>(base), bytes, std::vector<int>(count, -1),
                                 std::vector<bool>(count, false)};
  return PLIMSOLL_CUDA_OK;
}

void Drop(PlimsollCudaArena* arena, size_t chunk) {
  const void* const gone =
      mmap(arena->base + chunk * arena->chunk_bytes, arena->chunk_bytes, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (gone == MAP_FAILED) std::abort();
  close(arena->files[chunk]);
  arena->files[chunk] = -1;
  if (arena->taken[chunk]) used -= static_cast<int64_t>(arena->chunk_bytes);
}

void Destroy(PlimsollCudaArena* arena) {
  for (size_t i = 0; i < arena->files.size(); ++i) {
    if (arena->files[i] >= 0) Drop(arena, i);
  }
  munmap(arena->base, arena->files.size() * arena->chunk_bytes);
  delete arena;
}

// Takes the file over.
int Map(PlimsollCudaArena* arena, size_t chunk, int file, int protection,
        PlimsollCudaMessage* message) {
  void* const mapped = mmap(arena->base + chunk * arena->chunk_bytes, arena->chunk_bytes,
                            protection, MAP_SHARED | MAP_FIXED, file, 0);
  arena->files[chunk] = file;
  return mapped == MAP_FAILED ? Fail(PLIMSOLL_CUDA_FAILED, "cuMemMap: pretended (1)", message)
                              : PLIMSOLL_CUDA_OK;
}

const char* Kind(const PlimsollCudaArena*) { return FAKE_CAN_EXPORT ? "cuda-vmm" : "cuda-slab"; }
void* Base(const PlimsollCudaArena* arena) { return arena->base; }

int Commit(PlimsollCudaArena* arena, int64_t first, int64_t count, PlimsollCudaMessage* message) {
  const int64_t bytes = count * static_cast<int64_t>(arena->chunk_bytes);
  if (used + bytes > kDeviceBytes) {
    return Fail(PLIMSOLL_CUDA_OUT_OF_MEMORY, "cuMemCreate: out of memory (2)", message);
  }
  for (size_t i = static_cast<size_t>(first); i < static_cast<size_t>(first + count); ++i) {
    const int file = memfd_create("fake-cuda", MFD_CLOEXEC);
    if (ftruncate(file, static_cast<off_t>(arena->chunk_bytes)) != 0) {
      return Fail(PLIMSOLL_CUDA_FAILED, "ftruncate", message);
    }
    const int code = Map(arena, i, file, PROT_READ | PROT_WRITE, message);
    if (code != PLIMSOLL_CUDA_OK) return code;
    arena->taken[i] = true;
  }
  used += bytes;
  return PLIMSOLL_CUDA_OK;
}

int Decommit(PlimsollCudaArena* arena, int64_t first, int64_t count, PlimsollCudaMessage*) {
  for (size_t i = static_cast<size_t>(first); i < static_cast<size_t>(first + count); ++i) {
    Drop(arena, i);
  }
  return PLIMSOLL_CUDA_OK;
}

int CanExport(const PlimsollCudaArena*) { return FAKE_CAN_EXPORT; }

int Export(PlimsollCudaArena* arena, int64_t chunk, int* file, PlimsollCudaMessage* message) {
  *file = fcntl(arena->files[static_cast<size_t>(chunk)], F_DUPFD_CLOEXEC, 0);
  return *file >= 0 ? PLIMSOLL_CUDA_OK : Fail(PLIMSOLL_CUDA_FAILED, "dup", message);
}

int Import(PlimsollCudaArena* arena, int64_t chunk, int file, int writable,
           PlimsollCudaMessage* message) {
  const int copy = fcntl(file, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return Fail(PLIMSOLL_CUDA_FAILED, "dup", message);
  arena->taken[static_cast<size_t>(chunk)] = false;
  return Map(arena, static_cast<size_t>(chunk), copy,
             writable != 0 ? PROT_READ | PROT_WRITE : PROT_READ, message);
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
    .queue_to_device = &Copy,
    .queue_to_host = &Copy,
    .begin_capture = &BeginCapture,
    .end_capture = &EndCapture,
    .launch_graph = &LaunchGraph,
    .destroy_graph = &DestroyGraph,
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
    .arena_import = &Import,
    .kernels = {},
};

}  // namespace

extern "C" const PlimsollCudaModule* plimsoll_cuda_module(void) { return &kModule; }
