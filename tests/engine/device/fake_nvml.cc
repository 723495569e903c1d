// A stand-in for libnvidia-ml.so.1: one GPU of 80 GiB, of which two processes use something; one of
// them is whoever asks.
#include <unistd.h>

#include <cstdint>

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
FAKE_NVML int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = &open_count;
  return open_count != 1 ? 1 : index == 0 ? 0 : 2;  // uninitialised, or no such GPU
}
FAKE_NVML int nvmlDeviceGetMemoryInfo_v2(void*, Memory* memory) {
  if (memory->version != (sizeof(Memory) | (2u << 24))) return 25;  // of another version
  *memory = {memory->version, 80 * kGibibyte, kGibibyte / 2, 76 * kGibibyte, 3 * kGibibyte};
  return 0;
}
FAKE_NVML int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, Process* processes) {
  const unsigned room = *count;
  *count = 2;
  if (room < 2) return 7;  // too small
  processes[0] = {1, kGibibyte, 0, 0};
  processes[1] = {static_cast<unsigned>(getpid()), FAKE_NVML_USED, 0, 0};
  return 0;
}
