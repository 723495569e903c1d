// The primitives on a GPU, as a library of its own: its names are those of the emulator, with which
// it must not be linked.
#include "tests/emulator/primitives.cuh"

namespace {

using plimsoll::Primitive;

// A copy of host memory on the device, for as long as this lives.
struct DeviceWords {
  DeviceWords(const uint32_t* words, int count) : bytes(count * sizeof(uint32_t)) {
    code = cudaMalloc(&data, bytes);
    if (code == cudaSuccess && words != nullptr) {
      code = cudaMemcpy(data, words, bytes, cudaMemcpyHostToDevice);
    }
  }
  ~DeviceWords() { cudaFree(data); }

  uint32_t* data = nullptr;
  size_t bytes;
  cudaError_t code;
};

}  // namespace

// The first GPU's architecture, as 90 for sm_90; below 0, the cudaError_t that says why there is
// none.
extern "C" __attribute__((visibility("default"))) int plimsoll_gpu_architecture() {
  int major = 0;
  int minor = 0;
  cudaError_t code = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  if (code != cudaSuccess) return -static_cast<int>(code);
  code = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
  return code != cudaSuccess ? -static_cast<int>(code) : 10 * major + minor;
}

// From host memory to host memory. Returns a cudaError_t.
extern "C" __attribute__((visibility("default"))) int plimsoll_apply_primitive(int primitive,
                                                                               const uint32_t* in,
                                                                               uint32_t* out) {
  const DeviceWords from(in, plimsoll::kPrimitiveWordsIn);
  const DeviceWords to(nullptr, plimsoll::kPrimitiveWordsOut);
  if (from.code != cudaSuccess) return from.code;
  if (to.code != cudaSuccess) return to.code;
  const int launched = plimsoll::simt::Launch(
      &plimsoll::ApplyPrimitive<uint32_t>,
      {.threads = 32, .shared_bytes = plimsoll::kPrimitiveSharedBytes}, nullptr,
      static_cast<Primitive>(primitive), static_cast<const uint32_t*>(from.data), to.data);
  if (launched != 0) return launched;
  return cudaMemcpy(out, to.data, to.bytes, cudaMemcpyDeviceToHost);
}
