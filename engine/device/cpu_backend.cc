#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

#include "engine/device/backend.h"
#include "engine/device/host_memory.h"
#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"

namespace plimsoll {
namespace {

constexpr int64_t kAlignment = 256;  // bytes

class Cpu final : public DeviceBackend {
 public:
  std::string_view name() const override { return "cpu"; }
  const Ops& ops() const override { return CpuOps(); }
  absl::Status CanDecode() const override { return absl::OkStatus(); }

  const DeviceTraits& traits() const override { return traits_; }
  absl::StatusOr<DeviceMemory> Memory() const override { return HostMemory("/"); }
  Bytes ChunkGranule() const override { return Bytes(sysconf(_SC_PAGESIZE)); }
  absl::StatusOr<std::unique_ptr<Arena>> CreateArena(Bytes max, Bytes chunk) const override {
    return CreateHostArena(max, chunk);
  }

  absl::StatusOr<DeviceSlab> Allocate(Bytes bytes) const override {
    const int64_t rounded = CeilDivide(bytes.value(), kAlignment) * kAlignment;
    void* const data = std::aligned_alloc(kAlignment, static_cast<size_t>(rounded));
    if (data == nullptr) return absl::ResourceExhaustedError("no " + FormatSize(bytes) + " free");
    const auto release = [](const void*, std::byte* memory) { std::free(memory); };
    return DeviceSlab(static_cast<std::byte*>(data), bytes, release, nullptr);
  }

  absl::Status CopyToDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    std::memcpy(to, from, static_cast<size_t>(bytes.value()));
    return absl::OkStatus();
  }
  absl::Status CopyToHost(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return CopyToDevice(to, from, bytes);
  }
  absl::Status CopyOnDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return CopyToDevice(to, from, bytes);
  }
  absl::StatusOr<double> Time(const std::function<absl::Status()>& work) const override {
    const auto begin = std::chrono::steady_clock::now();
    PLIMSOLL_RETURN_IF_ERROR(work());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  absl::Status Synchronize() const override { return absl::OkStatus(); }

 private:
  const DeviceTraits traits_ = {};
};

}  // namespace

const DeviceBackend& CpuBackend() {
  static const Cpu backend;
  return backend;
}

}  // namespace plimsoll
