#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <system_error>

#include "engine/device/backend.h"
#include "engine/device/host_memory.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

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
    if (bytes == Bytes(0)) return DeviceSlab();
    const size_t length = static_cast<size_t>(bytes.value());
    void* const data =
        mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      return absl::ResourceExhaustedError("no memory for " + std::to_string(bytes.value()) +
                                          " bytes: " + std::generic_category().message(errno));
    }
    madvise(data, length, MADV_HUGEPAGE);  // a wish: without it everything works, slower
    const auto unmap = [](const void*, std::byte* memory, Bytes size) {
      munmap(memory, static_cast<size_t>(size.value()));
    };
    return DeviceSlab(static_cast<std::byte*>(data), bytes, unmap, nullptr);
  }

  absl::Status CopyToDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    if (bytes == Bytes(0)) return absl::OkStatus();  // of nothing may be null
    std::memcpy(to, from, static_cast<size_t>(bytes.value()));
    return absl::OkStatus();
  }
  absl::Status CopyToHost(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return CopyToDevice(to, from, bytes);
  }
  absl::Status CopyOnDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return CopyToDevice(to, from, bytes);
  }
  absl::Status CopyAll(std::span<const DeviceCopy> copies) const override {
    for (const auto& [to, from, bytes] : copies) {
      PLIMSOLL_RETURN_IF_ERROR(CopyToDevice(to, from, bytes));
    }
    return absl::OkStatus();
  }
  absl::StatusOr<PinnedMemory> Pin(std::byte*, Bytes) const override { return PinnedMemory(); }
  absl::Status QueueToDevice(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return CopyToDevice(to, from, bytes);
  }
  absl::Status QueueToHost(std::byte* to, const std::byte* from, Bytes bytes) const override {
    return CopyToDevice(to, from, bytes);
  }
  absl::StatusOr<DeviceGraph> Capture(const std::function<absl::Status()>&) const override {
    return absl::UnimplementedError("cpu: nothing is queued that could be captured");
  }
  absl::Status Launch(const DeviceGraph&) const override {
    return absl::UnimplementedError("cpu: there are no graphs");
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
