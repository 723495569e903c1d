// A stand-in for libnvidia-ml.so.1: two GPUs, of which the second, in slot 0000:65:00.0, has 80
// GiB, and two processes use something of it; one of them is whoever asks.
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace {

constexpr unsigned long long kGibibyte = 1ull << 30;
struct Memory {
  unsigned version;
  unsigned long long total, reserved, free, used;
};
struct Process {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
int open_count = 0;
int first = 0, second = 0;  // by address

}  // namespace

#define FAKE_NVML extern "C" __attribute__((visibility("default")))

FAKE_NVML int nvmlInit_v2() {
  ++open_count;
  return 0;
}
FAKE_NVML int nvmlShutdown() {
  --open_count;
  return 0;
}
FAKE_NVML int nvmlDeviceGetHandleByPciBusId_v2(const char* bus, void** device) {
  const bool is_first = std::strcmp(bus, "0000:17:00.0") == 0;
  *device = is_first ? &first : &second;
  if (open_count != 1) return 1;                                     // uninitialised
  return is_first || std::strcmp(bus, "0000:65:00.0") == 0 ? 0 : 6;  // not found
}
FAKE_NVML int nvmlDeviceGetMemoryInfo_v2(void* device, Memory* memory) {
  if (memory->version != (sizeof(Memory) | (2u << 24))) return 25;  // of another version
  if (device == &first) {
    *memory = {memory->version, 24 * kGibibyte, 0, 24 * kGibibyte, 0};
    return 0;
  }
  *memory = {memory->version, 80 * kGibibyte, kGibibyte / 2, 76 * kGibibyte, 3 * kGibibyte};
  return 0;
}
FAKE_NVML int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count,
                                                      Process* processes) {
  const unsigned room = *count;
  *count = device == &first ? 0 : 2;
  if (*count == 0) return 0;
  if (room < 2) return 7;  // too small
  processes[0] = {1, kGibibyte, 0, 0};
  processes[1] = {static_cast<unsigned>(getpid()), FAKE_NVML_USED, 0, 0};
  return 0;
}
