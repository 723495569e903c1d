#include "engine/device/cuda_backend.h"

#include "absl/strings/str_format.h"
#include "engine/device/cuda_arena.h"
#include "engine/device/cuda_status.h"

namespace plimsoll {
namespace {

absl::Status NoKernel(const char* operation) {
  return absl::UnimplementedError(absl::StrFormat("cuda: %s has no kernel yet", operation));
}

// Answers what the module can do today. A kernel that arrives replaces its entry.
constexpr Ops kCudaOps = {
    .name = "cuda",
    .device = Device::kCuda,
    .embed = [](const EmbedArgs&) { return NoKernel("embed"); },
    .rms_norm = [](const RmsNormArgs&) { return NoKernel("rms_norm"); },
    .linear = [](const LinearArgs&) { return NoKernel("linear"); },
    .rotate_and_append = [](const RotateAndAppendArgs&) { return NoKernel("rotate_and_append"); },
    .attention = [](const AttentionArgs&) { return NoKernel("attention"); },
    .gated_activation = [](const GatedActivationArgs&) { return NoKernel("gated_activation"); },
};

class Cuda final : public DeviceBackend {
 public:
  Cuda(const PlimsollCudaModule& module, Bytes granule) : module_(module), granule_(granule) {}

  std::string_view name() const override { return "cuda"; }
  const Ops& ops() const override { return kCudaOps; }
  absl::Status CanDecode() const override {
    if (module_.can_decode != 0) return absl::OkStatus();
    return absl::UnimplementedError("the CUDA module has no decode kernels yet");
  }

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
  absl::Status Synchronize() const override {
    PlimsollCudaMessage message = {};
    return CudaStatus(module_.synchronize(&message), "synchronize", message);
  }

 private:
  const PlimsollCudaModule& module_;
  const Bytes granule_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceBackend>> CreateCudaBackend(const PlimsollCudaModule& module,
                                                                 int device) {
  PlimsollCudaMessage message = {};
  int code = module.open(device, &message);
  PLIMSOLL_RETURN_IF_ERROR(
      CudaStatus(code, code == PLIMSOLL_CUDA_NO_DEVICE ? "no GPU" : "open GPU", message));
  int64_t granule = 0;
  code = module.arena_granule(&granule, &message);
  PLIMSOLL_RETURN_IF_ERROR(CudaStatus(code, "arena granule", message));
  return std::make_unique<Cuda>(module, Bytes(granule));
}

}  // namespace plimsoll
