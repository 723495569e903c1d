#include "engine/device/cuda_backend.h"

#include <utility>
#include <vector>

#include "engine/device/cuda_arena.h"
#include "engine/device/cuda_ops.h"
#include "engine/device/cuda_status.h"
#include "kvcache/sizing/runtime_bytes.h"

namespace plimsoll {
namespace {

class Cuda final : public DeviceBackend {
 public:
  Cuda(const PlimsollCudaModule& module, DeviceTraits traits, Bytes granule)
      : module_(module), traits_(std::move(traits)), granule_(granule) {}

  std::string_view name() const override { return "cuda"; }
  const Ops& ops() const override { return CudaOps(module_); }
  absl::Status CanDecode() const override {
    if (module_.can_decode != 0) return absl::OkStatus();
    return absl::UnimplementedError("the CUDA module has no decode kernels yet");
  }

  const DeviceTraits& traits() const override { return traits_; }
  absl::StatusOr<DeviceMemory> Memory() const override {
    PlimsollCudaMessage message = {};
    int64_t total = 0;
    int64_t free = 0;
    const int code = module_.memory(&total, &free, &message);
    PLIMSOLL_RETURN_IF_ERROR(CudaStatus(code, "device memory", message));
    return DeviceMemory{Bytes(total), Bytes(free)};
  }
  Bytes ChunkGranule() const override { return granule_; }
  absl::StatusOr<std::unique_ptr<Arena>> CreateArena(Bytes max, Bytes chunk) const override {
    return CreateCudaArena(module_, granule_, max, chunk);
  }

  absl::StatusOr<DeviceSlab> Allocate(Bytes bytes) const override {
    PlimsollCudaMessage message = {};
    void* memory = nullptr;
    const int code = module_.allocate(bytes.value(), &memory, &message);
    PLIMSOLL_RETURN_IF_ERROR(CudaStatus(code, "device memory", message));
    const auto release = [](const void* module, std::byte* data, Bytes) {
      static_cast<const PlimsollCudaModule*>(module)->release(data);
    };
    return DeviceSlab(static_cast<std::byte*>(memory), bytes, release, &module_);
  }

  absl::Status CopyToDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    PlimsollCudaMessage message = {};
    return CudaStatus(module_.copy_to_device(to, from, bytes.value(), &message), "copy to device",
                      message);
  }
  absl::Status CopyToHost(std::byte* to, const std::byte* from, Bytes bytes) const override {
    PlimsollCudaMessage message = {};
    return CudaStatus(module_.copy_to_host(to, from, bytes.value(), &message), "copy to host",
                      message);
  }
  absl::Status CopyOnDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    PlimsollCudaMessage message = {};
    return CudaStatus(module_.copy_on_device(to, from, bytes.value(), &message), "copy on device",
                      message);
  }
  absl::Status CopyAll(std::span<const DeviceCopy> copies) const override {
    std::vector<PlimsollCudaCopy> list;
    list.reserve(copies.size());
    for (const auto& [to, from, bytes] : copies) list.push_back({to, from, bytes.value()});
    PlimsollCudaMessage message = {};
    return CudaStatus(module_.copy_all(list.data(), std::ssize(list), &message), "copies", message);
  }
  absl::StatusOr<PinnedMemory> Pin(std::byte* data, Bytes bytes) const override {
    PlimsollCudaMessage message = {};
    PLIMSOLL_RETURN_IF_ERROR(
        CudaStatus(module_.pin(data, bytes.value(), &message), "pin memory of the host", message));
    const auto unpin = [](const void* module, std::byte* memory) {
      static_cast<const PlimsollCudaModule*>(module)->unpin(memory);
    };
    return PinnedMemory(data, unpin, &module_);
  }
  absl::Status QueueToDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    PlimsollCudaMessage message = {};
    return CudaStatus(module_.queue_to_device(to, from, bytes.value(), &message), "copy to device",
                      message);
  }
  absl::Status QueueToHost(std::byte* to, const std::byte* from, Bytes bytes) const override {
    PlimsollCudaMessage message = {};
    return CudaStatus(module_.queue_to_host(to, from, bytes.value(), &message), "copy to host",
                      message);
  }
  absl::StatusOr<DeviceGraph> Capture(const std::function<absl::Status()>& work) const override {
    PlimsollCudaMessage message = {};
    PLIMSOLL_RETURN_IF_ERROR(CudaStatus(module_.begin_capture(&message), "graph", message));
    const absl::Status queued = work();
    PlimsollCudaGraph* graph = nullptr;
    const int code = module_.end_capture(&graph, &message);
    const auto destroy = [](const void* module, void* captured) {
      static_cast<const PlimsollCudaModule*>(module)->destroy_graph(
          static_cast<PlimsollCudaGraph*>(captured));
    };
    DeviceGraph captured(graph, destroy, &module_);
    PLIMSOLL_RETURN_IF_ERROR(queued);
    PLIMSOLL_RETURN_IF_ERROR(CudaStatus(code, "graph", message));
    return captured;
  }
  absl::Status Launch(const DeviceGraph& graph) const override {
    PlimsollCudaMessage message = {};
    return CudaStatus(module_.launch_graph(static_cast<PlimsollCudaGraph*>(graph.get()), &message),
                      "graph", message);
  }
  absl::StatusOr<double> Time(const std::function<absl::Status()>& work) const override {
    PlimsollCudaMessage message = {};
    PLIMSOLL_RETURN_IF_ERROR(CudaStatus(module_.start_timer(&message), "timer", message));
    PLIMSOLL_RETURN_IF_ERROR(work());
    double seconds = 0;
    PLIMSOLL_RETURN_IF_ERROR(CudaStatus(module_.stop_timer(&seconds, &message), "timer", message));
    return seconds;
  }
  absl::Status Synchronize() const override {
    PlimsollCudaMessage message = {};
    return CudaStatus(module_.synchronize(&message), "synchronize", message);
  }

 private:
  const PlimsollCudaModule& module_;
  const DeviceTraits traits_;
  const Bytes granule_;
};

// As the planner says of a GPU of its kind; graphs and cuBLAS are accounted for by themselves.
Bytes ContextBytes(const PlimsollCudaDevice& device) {
  const GpuSpec gpu{.name = device.name,
                    .aliases = {},
                    .memory_mib = 0,
                    .bandwidth = 0,
                    .multiprocessors = device.multiprocessors,
                    .threads_per_multiprocessor = device.threads_per_multiprocessor,
                    .compute_capability = device.compute_capability,
                    .source = MemorySource::kQuery};
  for (const RuntimeLine& line : EstimateRuntime(gpu, /*layers=*/0).lines) {
    if (line.term == "context") return line.bytes;
  }
  return Bytes(0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceBackend>> CreateCudaBackend(const PlimsollCudaModule& module,
                                                                 int device) {
  PlimsollCudaMessage message = {};
  int code = module.open(device, &message);
  PLIMSOLL_RETURN_IF_ERROR(
      CudaStatus(code, code == PLIMSOLL_CUDA_NO_DEVICE ? "no GPU" : "open GPU", message));
  PlimsollCudaDevice described = {};
  code = module.describe(&described, &message);
  PLIMSOLL_RETURN_IF_ERROR(CudaStatus(code, "describe GPU", message));
  DeviceTraits traits = {.model = described.name,
                         .multiprocessors = described.multiprocessors,
                         .compute_capability = described.compute_capability,
                         .pci_bus_id = described.pci_bus_id,
                         .context = Bytes(described.context_bytes),
                         .context_predicted = ContextBytes(described),
                         .libraries = Bytes(described.library_bytes),
                         .libraries_predicted = Bytes(described.library_asked_bytes)};
  int64_t granule = 0;
  code = module.arena_granule(&granule, &message);
  PLIMSOLL_RETURN_IF_ERROR(CudaStatus(code, "arena granule", message));
  return std::make_unique<Cuda>(module, std::move(traits), Bytes(granule));
}

}  // namespace plimsoll
