#include "tests/emulator/emulated_module.h"

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "engine/ops/attention_launch_cuda.cuh"
#include "engine/ops/embed_cuda.cuh"
#include "engine/ops/experts_launch_cuda.h"
#include "engine/ops/gated_activation_cuda.cuh"
#include "engine/ops/linear_many_rows_cuda.cuh"
#include "engine/ops/rms_norm_cuda.cuh"
#include "engine/ops/rotate_and_append_cuda.cuh"
#include "engine/ops/sample_cuda.cuh"
#include "engine/ops/softcap_cuda.cuh"
#include "kvcache/base/check.h"
#include "tests/emulator/recording.h"

struct PlimsollCudaArena {
  char* base;
  int64_t chunk_bytes;
  int64_t chunks;
  int64_t committed_bytes;
};

struct PlimsollCudaGraph {
  plimsoll::emulator::Recording calls;
  int64_t bytes;
};

namespace plimsoll::emulator {
namespace {

constexpr int64_t kDeviceBytes = int64_t{1} << 30;
constexpr int64_t kGranule = 4096;
constexpr int64_t kAlignment = 256;
constexpr int64_t kSliceBytes = int64_t{64} << 10;  // small, so that tests take several
constexpr int32_t kMultiprocessors = 8;  // few, so that tests need not be large to fill them
constexpr int kPoison = 0xff;
int64_t used = 0;
int64_t graph_bytes = 0;
std::unordered_map<void*, int64_t> allocated;
std::chrono::steady_clock::time_point timer;
EmulatedCalls calls;

// A copy that was queued: what was read then, and where it goes.
struct Arrival {
  void* to;
  std::vector<char> bytes;
};
std::vector<Arrival> arrivals;

struct Pinned {
  char* memory;
  int64_t bytes;
};
std::vector<Pinned> pinned;

int Fail(int code, const char* text, PlimsollCudaMessage* message) {
  std::snprintf(message->text, sizeof message->text, "%s", text);
  return code;
}

int Open(int, PlimsollCudaMessage*) { return PLIMSOLL_CUDA_OK; }

int Describe(PlimsollCudaDevice* device, PlimsollCudaMessage*) {
  *device = {.name = "emulator",
             .multiprocessors = kMultiprocessors,
             .compute_capability = 80,
             .threads_per_multiprocessor = 2048,
             .pci_bus_id = "0000:00:00.0",
             .context_bytes = 0,
             .library_bytes = 0,
             .library_asked_bytes = 0};
  return PLIMSOLL_CUDA_OK;
}

int Memory(int64_t* total, int64_t* free, PlimsollCudaMessage*) {
  *total = kDeviceBytes;
  *free = kDeviceBytes - used;
  return PLIMSOLL_CUDA_OK;
}

// What waits for the device, or takes memory of it.
int RefuseWhileRecording(PlimsollCudaMessage* message) {
  if (!IsRecording()) return PLIMSOLL_CUDA_OK;
  return Fail(PLIMSOLL_CUDA_FAILED, "not while a graph is captured", message);
}

int Synchronize(PlimsollCudaMessage* message) {
  for (const Arrival& each : arrivals) std::memcpy(each.to, each.bytes.data(), each.bytes.size());
  arrivals.clear();
  return RefuseWhileRecording(message);
}

int Allocate(int64_t bytes, void** memory, PlimsollCudaMessage* message) {
  ++calls.allocations;
  const int code = RefuseWhileRecording(message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  if (used + bytes > kDeviceBytes) {
    return Fail(PLIMSOLL_CUDA_OUT_OF_MEMORY, "out of memory", message);
  }
  const size_t size = static_cast<size_t>(bytes);
  if (posix_memalign(memory, kAlignment, size) != 0) {
    return Fail(PLIMSOLL_CUDA_OUT_OF_MEMORY, "posix_memalign", message);
  }
  std::memset(*memory, kPoison, size);
  allocated.emplace(*memory, bytes);
  used += bytes;
  return PLIMSOLL_CUDA_OK;
}

void Release(void* memory) {
  const auto its = allocated.extract(memory);
  used -= its.empty() ? 0 : its.mapped();
  std::free(memory);
}

void CopyBytes(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));  // of nothing may be null
}

int CopyToDevice(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message) {
  ++calls.copies_to_device;
  CopyBytes(to, from, bytes);
  return Synchronize(message);
}

int CopyToHost(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message) {
  ++calls.copies_to_host;
  calls.bytes_to_host += bytes;
  CopyBytes(to, from, bytes);
  return Synchronize(message);
}

int CopyOnDevice(void* to, const void* from, int64_t bytes, PlimsollCudaMessage*) {
  DoOrRecord([=] { CopyBytes(to, from, bytes); });
  return PLIMSOLL_CUDA_OK;
}

int CopyAll(const PlimsollCudaCopy* copies, int64_t count, PlimsollCudaMessage* message) {
  for (int64_t i = 0; i < count; ++i) CopyBytes(copies[i].to, copies[i].from, copies[i].bytes);
  return Synchronize(message);
}

// Whole pages are pinned, and none twice.
int Pin(void* memory, int64_t bytes, PlimsollCudaMessage* message) {
  const auto page = [](const void* at) {
    return reinterpret_cast<uintptr_t>(at) / static_cast<uintptr_t>(kGranule);
  };
  const auto first = static_cast<char*>(memory);
  for (const Pinned& each : pinned) {
    const bool before = page(first + bytes - 1) < page(each.memory);
    const bool behind = page(first) > page(each.memory + each.bytes - 1);
    if (!before && !behind) return Fail(PLIMSOLL_CUDA_FAILED, "a page is pinned twice", message);
  }
  pinned.push_back({first, bytes});
  return PLIMSOLL_CUDA_OK;
}

void Unpin(void* memory) {
  std::erase_if(pinned, [&](const Pinned& each) { return each.memory == memory; });
}

int CheckPinned(const void* memory, int64_t bytes, PlimsollCudaMessage* message) {
  const char* const first = static_cast<const char*>(memory);
  for (const Pinned& each : pinned) {
    if (first >= each.memory && first + bytes <= each.memory + each.bytes) return PLIMSOLL_CUDA_OK;
  }
  return Fail(PLIMSOLL_CUDA_FAILED, "a copy is queued of memory that is not pinned", message);
}

int QueueToDevice(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message) {
  const int code = CheckPinned(from, bytes, message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  ++calls.copies_to_device;
  DoOrRecord([=] { CopyBytes(to, from, bytes); });
  return PLIMSOLL_CUDA_OK;
}

int QueueToHost(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message) {
  const int code = CheckPinned(to, bytes, message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  ++calls.copies_to_host;
  calls.bytes_to_host += bytes;
  DoOrRecord([=] {
    const char* const first = static_cast<const char*>(from);
    arrivals.push_back({to, std::vector<char>(first, first + bytes)});
  });
  return PLIMSOLL_CUDA_OK;
}

int BeginCapture(PlimsollCudaMessage*) {
  ++calls.graphs_captured;
  BeginRecording();
  return PLIMSOLL_CUDA_OK;
}

int EndCapture(PlimsollCudaGraph** graph, PlimsollCudaMessage*) {
  *graph = new PlimsollCudaGraph{EndRecording(), graph_bytes};
  used += graph_bytes;
  return PLIMSOLL_CUDA_OK;
}

int LaunchGraph(PlimsollCudaGraph* graph, PlimsollCudaMessage*) {
  ++calls.graphs_launched;
  for (const auto& call : graph->calls) call();
  return PLIMSOLL_CUDA_OK;
}

void DestroyGraph(PlimsollCudaGraph* graph) {
  if (graph == nullptr) return;
  used -= graph->bytes;
  delete graph;
}

int StartTimer(PlimsollCudaMessage*) {
  timer = std::chrono::steady_clock::now();
  return PLIMSOLL_CUDA_OK;
}

int StopTimer(double* seconds, PlimsollCudaMessage*) {
  *seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - timer).count();
  return PLIMSOLL_CUDA_OK;
}

int Granule(int64_t* bytes, PlimsollCudaMessage*) {
  *bytes = kGranule;
  return PLIMSOLL_CUDA_OK;
}

int CreateArena(int64_t chunk_bytes, int64_t chunks, PlimsollCudaArena** arena,
                PlimsollCudaMessage* message) {
  void* const base = mmap(nullptr, static_cast<size_t>(chunk_bytes * chunks), PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return Fail(PLIMSOLL_CUDA_OUT_OF_MEMORY, "mmap", message);
  *arena = new PlimsollCudaArena{static_cast<char*>(base), chunk_bytes, chunks, 0};
  return PLIMSOLL_CUDA_OK;
}

void DestroyArena(PlimsollCudaArena* arena) {
  munmap(arena->base, static_cast<size_t>(arena->chunk_bytes * arena->chunks));
  used -= arena->committed_bytes;
  delete arena;
}

const char* Kind(const PlimsollCudaArena*) { return "emulated"; }
void* Base(const PlimsollCudaArena* arena) { return arena->base; }

int Commit(PlimsollCudaArena* arena, int64_t first, int64_t count, PlimsollCudaMessage* message) {
  const int64_t bytes = count * arena->chunk_bytes;
  char* const from = arena->base + first * arena->chunk_bytes;
  if (used + bytes > kDeviceBytes ||
      mprotect(from, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE) != 0) {
    return Fail(PLIMSOLL_CUDA_OUT_OF_MEMORY, "out of memory", message);
  }
  std::memset(from, kPoison, static_cast<size_t>(bytes));
  used += bytes;
  arena->committed_bytes += bytes;
  calls.graphs_before_commit = calls.graphs_captured;
  return PLIMSOLL_CUDA_OK;
}

int Decommit(PlimsollCudaArena* arena, int64_t first, int64_t count, PlimsollCudaMessage*) {
  const int64_t bytes = count * arena->chunk_bytes;
  mprotect(arena->base + first * arena->chunk_bytes, static_cast<size_t>(bytes), PROT_NONE);
  used -= bytes;
  arena->committed_bytes -= bytes;
  return PLIMSOLL_CUDA_OK;
}

int CanExport(const PlimsollCudaArena*) { return 0; }
int Export(PlimsollCudaArena*, int64_t, int*, PlimsollCudaMessage* message) {
  return Fail(PLIMSOLL_CUDA_UNSUPPORTED, "the emulator exports nothing", message);
}
int Import(PlimsollCudaArena*, int64_t, int, int, PlimsollCudaMessage* message) {
  return Fail(PLIMSOLL_CUDA_UNSUPPORTED, "the emulator imports nothing", message);
}

template <class T>
void Multiply(const PlimsollCudaGemm& args) {
  const T* const x = static_cast<const T*>(args.x);
  const T* const weight = static_cast<const T*>(args.weight);
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t c = 0; c < args.cols; ++c) {
      float sum = 0;
      for (int64_t k = 0; k < args.inner; ++k) {
        sum += cuda::Widen(x[r * args.inner + k]) * cuda::Widen(weight[c * args.inner + k]);
      }
      float& out = args.out[r * args.out_stride + c];
      out = args.accumulate != 0 ? out + sum : sum;
    }
  }
}

int Gemm(const PlimsollCudaGemm& args, simt::Stream) {
  DoOrRecord([=] {
    args.type == PLIMSOLL_CUDA_FP16 ? Multiply<__half>(args) : Multiply<__nv_bfloat16>(args);
  });
  return 0;
}

cuda::LinearResources Resources() {
  static std::vector<uint4> slice(static_cast<size_t>(kSliceBytes) / sizeof(uint4));
  return {.gemm = &Gemm, .slice = slice.data(), .slice_bytes = kSliceBytes};
}

// What a launch answers, as a code. The emulator itself ends the process when something is wrong.
int Answer(int launched, PlimsollCudaMessage* message) {
  PLIMSOLL_CHECK(launched <= 0, launched);
  if (launched == 0) return PLIMSOLL_CUDA_OK;
  return Fail(PLIMSOLL_CUDA_UNSUPPORTED, "no kernel for this type or shape", message);
}

template <auto kLaunch, class Arguments>
int Run(const Arguments* args, PlimsollCudaMessage* message) {
  return Answer(kLaunch(*args, nullptr), message);
}

int Product(const PlimsollCudaGemm* args, PlimsollCudaMessage* message) {
  return Answer(Gemm(*args, nullptr), message);
}

int Linear(const PlimsollCudaLinear* args, PlimsollCudaMessage* message) {
  return Answer(cuda::LaunchLinear(*args, Resources(), nullptr), message);
}

constexpr PlimsollCudaModule kModule = {
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
    .arena_granule = &Granule,
    .arena_create = &CreateArena,
    .arena_destroy = &DestroyArena,
    .arena_kind = &Kind,
    .arena_base = &Base,
    .arena_commit = &Commit,
    .arena_decommit = &Decommit,
    .arena_can_export = &CanExport,
    .arena_export = &Export,
    .arena_import = &Import,
    .kernels = {.embed = &Run<&cuda::LaunchEmbed>,
                .rms_norm = &Run<&cuda::LaunchRmsNorm>,
                .linear = &Linear,
                .rotate_and_append = &Run<&cuda::LaunchRotateAndAppend>,
                .attention = &Run<&cuda::LaunchAttention>,
                .gated_activation = &Run<&cuda::LaunchGatedActivation>,
                .softcap = &Run<&cuda::LaunchSoftcap>,
                .route = &Run<&cuda::LaunchRoute>,
                .experts = &Run<&cuda::LaunchExperts>,
                .sample = &Run<&cuda::LaunchSample>,
                .gemm = &Product},
};

}  // namespace

const PlimsollCudaModule& EmulatedModule() { return kModule; }

const EmulatedCalls& CallsOfEmulatedModule() { return calls; }

void SetGraphBytes(int64_t bytes) { graph_bytes = bytes; }

}  // namespace plimsoll::emulator
