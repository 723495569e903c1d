#include "bench/idle_module.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

struct PlimsollCudaArena {
  void* base;
  size_t bytes;
};
struct PlimsollCudaGraph {};

namespace plimsoll {
namespace {

constexpr int64_t kDeviceBytes = int64_t{64} << 30;
constexpr int64_t kGranule = int64_t{2} << 20;

int Nothing(PlimsollCudaMessage*) { return PLIMSOLL_CUDA_OK; }
int Open(int, PlimsollCudaMessage*) { return PLIMSOLL_CUDA_OK; }

int Describe(PlimsollCudaDevice* device, PlimsollCudaMessage*) {
  *device = {};
  std::snprintf(device->name, sizeof device->name, "idle");
  device->multiprocessors = 132;
  device->compute_capability = 90;
  device->threads_per_multiprocessor = 2048;
  return PLIMSOLL_CUDA_OK;
}

int Memory(int64_t* total, int64_t* free, PlimsollCudaMessage*) {
  *total = *free = kDeviceBytes;
  return PLIMSOLL_CUDA_OK;
}

int Allocate(int64_t bytes, void** memory, PlimsollCudaMessage*) {
  *memory = std::calloc(1, static_cast<size_t>(bytes));
  return *memory == nullptr ? PLIMSOLL_CUDA_OUT_OF_MEMORY : PLIMSOLL_CUDA_OK;
}

void Release(void* memory) { std::free(memory); }

int Copy(void* to, const void* from, int64_t bytes, PlimsollCudaMessage*) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
  return PLIMSOLL_CUDA_OK;
}

int CopyAll(const PlimsollCudaCopy* copies, int64_t count, PlimsollCudaMessage* message) {
  for (int64_t i = 0; i < count; ++i) Copy(copies[i].to, copies[i].from, copies[i].bytes, message);
  return PLIMSOLL_CUDA_OK;
}

// The device's own engine copies from and to pinned memory; the host only asks for it.
int QueueCopy(void*, const void*, int64_t, PlimsollCudaMessage*) { return PLIMSOLL_CUDA_OK; }

int Pin(void*, int64_t, PlimsollCudaMessage*) { return PLIMSOLL_CUDA_OK; }
void Unpin(void*) {}

int EndCapture(PlimsollCudaGraph** graph, PlimsollCudaMessage*) {
  *graph = new PlimsollCudaGraph;
  return PLIMSOLL_CUDA_OK;
}
int LaunchGraph(PlimsollCudaGraph*, PlimsollCudaMessage*) { return PLIMSOLL_CUDA_OK; }
void DestroyGraph(PlimsollCudaGraph* graph) { delete graph; }

int StopTimer(double* seconds, PlimsollCudaMessage*) {
  *seconds = 0;
  return PLIMSOLL_CUDA_OK;
}

int Granule(int64_t* bytes, PlimsollCudaMessage*) {
  *bytes = kGranule;
  return PLIMSOLL_CUDA_OK;
}

// Pages that nobody touches are never there.
int CreateArena(int64_t chunk_bytes, int64_t chunks, PlimsollCudaArena** arena,
                PlimsollCudaMessage*) {
  const auto bytes = static_cast<size_t>(chunk_bytes * chunks);
  void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return PLIMSOLL_CUDA_OUT_OF_MEMORY;
  *arena = new PlimsollCudaArena{base, bytes};
  return PLIMSOLL_CUDA_OK;
}

void DestroyArena(PlimsollCudaArena* arena) {
  munmap(arena->base, arena->bytes);
  delete arena;
}

const char* Kind(const PlimsollCudaArena*) { return "idle"; }
void* Base(const PlimsollCudaArena* arena) { return arena->base; }
int Commit(PlimsollCudaArena*, int64_t, int64_t, PlimsollCudaMessage*) { return PLIMSOLL_CUDA_OK; }
int CanExport(const PlimsollCudaArena*) { return 0; }
int Export(PlimsollCudaArena*, int64_t, int*, PlimsollCudaMessage*) {
  return PLIMSOLL_CUDA_UNSUPPORTED;
}

int Import(PlimsollCudaArena*, int64_t, int, int, PlimsollCudaMessage*) {
  return PLIMSOLL_CUDA_UNSUPPORTED;
}

template <class Arguments>
int Queue(const Arguments*, PlimsollCudaMessage*) {
  return PLIMSOLL_CUDA_OK;
}

constexpr PlimsollCudaModule kModule = {
    .version = PLIMSOLL_CUDA_VERSION,
    .can_decode = 1,
    .open = &Open,
    .describe = &Describe,
    .memory = &Memory,
    .synchronize = &Nothing,
    .allocate = &Allocate,
    .release = &Release,
    .copy_to_device = &Copy,
    .copy_to_host = &Copy,
    .copy_all = &CopyAll,
    .pin = &Pin,
    .unpin = &Unpin,
    .copy_on_device = &Copy,
    .queue_to_device = &QueueCopy,
    .queue_to_host = &QueueCopy,
    .begin_capture = &Nothing,
    .end_capture = &EndCapture,
    .launch_graph = &LaunchGraph,
    .destroy_graph = &DestroyGraph,
    .start_timer = &Nothing,
    .stop_timer = &StopTimer,
    .arena_granule = &Granule,
    .arena_create = &CreateArena,
    .arena_destroy = &DestroyArena,
    .arena_kind = &Kind,
    .arena_base = &Base,
    .arena_commit = &Commit,
    .arena_decommit = &Commit,
    .arena_can_export = &CanExport,
    .arena_export = &Export,
    .arena_import = &Import,
    .kernels = {.embed = &Queue,
                .rms_norm = &Queue,
                .linear = &Queue,
                .rotate_and_append = &Queue,
                .attention = &Queue,
                .gated_activation = &Queue,
                .softcap = &Queue,
                .route = &Queue,
                .experts = &Queue,
                .sample = &Queue,
                .gemm = &Queue},
};

}  // namespace

const PlimsollCudaModule& IdleModule() { return kModule; }

}  // namespace plimsoll
