#include "kvcache/sizing/runtime_bytes.h"

#include <array>

namespace plimsoll {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

constexpr RuntimeConstant kContextBase{
    "context, fixed part", 8 * kMiB, "bytes", false,
    "line through contexts of 107 to 555 MiB on GPUs of 34 to 188 multiprocessors"};
constexpr RuntimeConstant kContextPerThread{
    "context, for each resident thread", 1980, "bytes", false,
    "the same line; local memory is set aside for every thread that a GPU can hold"};
constexpr RuntimeConstant kOtherContext{"context where CUDA does not run", 512 * kMiB, "bytes",
                                        false, "assumed: as large as CUDA's on a large GPU"};
constexpr RuntimeConstant kLargeWorkspace{"cuBLAS workspace, compute capability 9.0 and later",
                                          32 * kMiB, "bytes", true,
                                          "set by the engine to what cuBLAS recommends"};
constexpr RuntimeConstant kSmallWorkspace{"cuBLAS workspace before that", 4 * kMiB, "bytes", true,
                                          "set by the engine to what cuBLAS recommends"};
constexpr RuntimeConstant kGraphBatchSizes{"CUDA graphs, one for each batch size", 13, "graphs",
                                           true, "the engine's batch sizes from 1 to 256"};
constexpr RuntimeConstant kKernelsPerLayer{"kernels of a layer in a graph", 9, "kernels", true,
                                           "the engine's decode step"};
constexpr RuntimeConstant kKernelsBeside{"kernels of a graph beside its layers", 5, "kernels", true,
                                         "the engine's decode step"};
constexpr RuntimeConstant kKernelBytes{"a kernel in a graph", 10 << 10, "bytes", false,
                                       "about 10 KB a node, as users of graphs report"};
constexpr RuntimeConstant kPairBuffers{"NCCL between two GPUs", 342 * kMiB, "bytes", true,
                                       "observed by a public sizing tool on A100, H100 and H200"};
constexpr RuntimeConstant kGroupBuffers{"NCCL between more", 392 * kMiB, "bytes", true,
                                        "observed by the same tool on 4 and 8 GPUs"};

constexpr std::array kConstants = {kContextBase,     kContextPerThread, kOtherContext,
                                   kLargeWorkspace,  kSmallWorkspace,   kGraphBatchSizes,
                                   kKernelsPerLayer, kKernelsBeside,    kKernelBytes,
                                   kPairBuffers,     kGroupBuffers};

std::string Text(int64_t n) { return std::to_string(n); }

RuntimeLine Context(const GpuSpec& gpu) {
  if (gpu.compute_capability == 0) {
    return {"context", Bytes(kOtherContext.value), "assumed, as for a large GPU"};
  }
  const int64_t threads = gpu.multiprocessors * gpu.threads_per_multiprocessor;
  return {"context", Bytes(kContextBase.value + threads * kContextPerThread.value),
          "8 MiB + " + Text(gpu.multiprocessors) + " multiprocessors x " +
              Text(gpu.threads_per_multiprocessor) + " threads x 1980 bytes"};
}

RuntimeLine Workspace(const GpuSpec& gpu) {
  const bool large = gpu.compute_capability >= 90;
  return {"cublas", Bytes(large ? kLargeWorkspace.value : kSmallWorkspace.value),
          "workspace of one handle"};
}

RuntimeLine Graphs(int64_t layers) {
  const int64_t kernels = kKernelsPerLayer.value * layers + kKernelsBeside.value;
  return {"graphs", Bytes(kGraphBatchSizes.value * kernels * kKernelBytes.value),
          Text(kGraphBatchSizes.value) + " batch sizes x (9 x " + Text(layers) +
              " layers + 5) kernels x 10 KiB"};
}

RuntimeLine Communication(int64_t gpus) {
  return {"communication", Bytes(gpus == 2 ? kPairBuffers.value : kGroupBuffers.value),
          "buffers of NCCL between " + Text(gpus) + " GPUs"};
}

}  // namespace

std::span<const RuntimeConstant> RuntimeConstants() { return kConstants; }

RuntimeEstimate EstimateRuntime(const GpuSpec& gpu, int64_t layers, int64_t gpus) {
  RuntimeEstimate runtime{.bytes = Bytes(0),
                          .formula = "estimated for " + std::string(gpu.name) + ":",
                          .lines = {Context(gpu), Workspace(gpu)}};
  if (layers > 0) runtime.lines.push_back(Graphs(layers));
  if (gpus > 1) runtime.lines.push_back(Communication(gpus));
  for (const RuntimeLine& line : runtime.lines) {
    runtime.formula += (runtime.bytes > Bytes(0) ? " + " : " ") + Text(line.bytes.value()) + " " +
                       std::string(line.term);
    runtime.bytes += line.bytes;
  }
  return runtime;
}

}  // namespace plimsoll
