#include "engine/device/nvml.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

// As nvml.h declares them, which comes with some toolkits only.
constexpr int kSuccess = 0;
constexpr int kInsufficientSize = 7;
constexpr unsigned long long kNotAvailable = std::numeric_limits<unsigned long long>::max();
using DeviceHandle = void*;
struct MemoryInfo {  // nvmlMemory_v2_t
  unsigned version;
  unsigned long long total, reserved, free, used;
};
struct ProcessInfo {  // nvmlProcessInfo_t
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
constexpr unsigned kMemoryInfoVersion = sizeof(MemoryInfo) | (2u << 24);

struct Calls {
  int (*init)();
  int (*shutdown)();
  int (*device_by_bus)(const char* pci_bus_id, DeviceHandle* device);
  int (*memory_info)(DeviceHandle device, MemoryInfo* info);
  int (*processes)(DeviceHandle device, unsigned* count, ProcessInfo* infos);
};

template <class Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

bool FindAll(void* library, Calls& calls) {
  return Find(library, "nvmlInit_v2", calls.init) &&
         Find(library, "nvmlShutdown", calls.shutdown) &&
         Find(library, "nvmlDeviceGetHandleByPciBusId_v2", calls.device_by_bus) &&
         Find(library, "nvmlDeviceGetMemoryInfo_v2", calls.memory_info) &&
         Find(library, "nvmlDeviceGetComputeRunningProcesses_v3", calls.processes);
}

absl::Status Check(int code, const char* call) {
  if (code == kSuccess) return absl::OkStatus();
  return absl::InternalError(std::string(call) + " (" + std::to_string(code) + ")");
}

Bytes BytesFrom(unsigned long long bytes) { return Bytes(static_cast<int64_t>(bytes)); }

// The functions are C's: clang's sanitizer looks for a type beside them and finds another one, or
// none.
#if defined(__clang__)
#define PLIMSOLL_CALLS_C __attribute__((no_sanitize("function")))
#else
#define PLIMSOLL_CALLS_C
#endif

// Between init and shutdown.
PLIMSOLL_CALLS_C absl::StatusOr<NvmlMemory> Read(const Calls& calls,
                                                 const std::string& pci_bus_id) {
  DeviceHandle device = nullptr;
  PLIMSOLL_RETURN_IF_ERROR(
      Check(calls.device_by_bus(pci_bus_id.c_str(), &device), "nvmlDeviceGetHandleByPciBusId_v2"));
  MemoryInfo memory = {};
  memory.version = kMemoryInfoVersion;
  PLIMSOLL_RETURN_IF_ERROR(Check(calls.memory_info(device, &memory), "nvmlDeviceGetMemoryInfo_v2"));
  constexpr size_t kMoreProcesses = 8;  // that may start between the two calls
  unsigned count = 0;
  int code = calls.processes(device, &count, nullptr);
  std::vector<ProcessInfo> processes(count + kMoreProcesses);
  count = static_cast<unsigned>(processes.size());
  if (code == kSuccess || code == kInsufficientSize) {
    code = calls.processes(device, &count, processes.data());
  }
  PLIMSOLL_RETURN_IF_ERROR(Check(code, "nvmlDeviceGetComputeRunningProcesses_v3"));
  NvmlMemory read{.total = BytesFrom(memory.total),
                  .reserved = BytesFrom(memory.reserved),
                  .used = BytesFrom(memory.used),
                  .process = std::nullopt};
  for (unsigned i = 0; i < count; ++i) {
    const ProcessInfo& each = processes[i];
    const bool ours = each.pid == static_cast<unsigned>(getpid());
    if (ours && each.used != kNotAvailable) read.process = BytesFrom(each.used);
  }
  return read;
}

}  // namespace

std::string NvmlLibrary() {
  const char* const named = std::getenv("PLIMSOLL_NVML");
  return named == nullptr ? "libnvidia-ml.so.1" : named;
}

PLIMSOLL_CALLS_C absl::StatusOr<NvmlMemory> ReadNvmlMemory(const std::string& library,
                                                           const std::string& pci_bus_id) {
  const std::unique_ptr<void, int (*)(void*)> opened(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL),
                                                     &dlclose);
  if (opened == nullptr) {
    const char* const error = dlerror();
    return absl::FailedPreconditionError("no NVML: " + std::string(error == nullptr ? "" : error));
  }
  Calls calls = {};
  if (!FindAll(opened.get(), calls)) {
    return absl::FailedPreconditionError("no NVML: " + library + " lacks a function");
  }
  PLIMSOLL_RETURN_IF_ERROR(Check(calls.init(), "nvmlInit_v2"));
  absl::StatusOr<NvmlMemory> read = Read(calls, pci_bus_id);
  calls.shutdown();
  return read;
}

}  // namespace plimsoll
