// Kernels under test: on the emulator, and on a GPU where there is one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "engine/device/backend.h"
#include "engine/device/cuda_backend.h"
#include "engine/device/cuda_loader.h"
#include "tests/emulator/emulated_module.h"
#include "tests/emulator/thread_block.h"
#include "tests/engine/ops/problems.h"

namespace plimsoll {

// A device, and the order of threads where that can be chosen.
struct KernelDevice {
  std::string name;
  const DeviceBackend* backend;
  uint64_t seed;

  friend void PrintTo(const KernelDevice& device, std::ostream* out) { *out << device.name; }
};

inline std::vector<KernelDevice> KernelDevices() {
  static const auto& emulated = *new std::unique_ptr<DeviceBackend>(
      CreateCudaBackend(emulator::EmulatedModule(), /*device=*/0).value());
  static const auto& gpu = *new absl::StatusOr<std::unique_ptr<DeviceBackend>>(
      LoadCudaBackendFrom({PLIMSOLL_MODULE_FOLDER "/libplimsoll_cuda.so"}));
  std::vector<KernelDevice> devices;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    devices.push_back({"EmulatedSeed" + std::to_string(seed), emulated.get(), seed});
  }
  if (gpu.ok()) devices.push_back({"Gpu", gpu->get(), 0});
  return devices;
}

// Memory of the device that a test gives and takes back whole.
class OnDevice : public testing::TestWithParam<KernelDevice> {
 protected:
  void SetUp() override {
    if (GetParam().seed != 0) emulator::SetSeed(GetParam().seed);
  }
  const DeviceBackend& device() const { return *GetParam().backend; }
  const Ops& ops() const { return device().ops(); }

  // A copy of `values` on the device, until the test ends.
  template <class T>
  T* Put(const std::vector<T>& values) {
    const Bytes bytes(std::ssize(values) * static_cast<int64_t>(sizeof(T)));
    slabs_.push_back(device().Allocate(std::max(bytes, Bytes(1))).value());
    std::byte* const data = slabs_.back().data();
    EXPECT_TRUE(
        device().CopyToDevice(data, reinterpret_cast<const std::byte*>(values.data()), bytes).ok());
    return reinterpret_cast<T*>(data);
  }
  // Memory for `count` numbers, with whatever is in it.
  template <class T>
  T* Take(int64_t count) {
    slabs_.push_back(device().Allocate(Bytes(count * static_cast<int64_t>(sizeof(T)))).value());
    return reinterpret_cast<T*>(slabs_.back().data());
  }
  template <class T>
  std::vector<T> Get(const T* data, int64_t count) {
    std::vector<T> values(static_cast<size_t>(count));
    const Bytes bytes(count * static_cast<int64_t>(sizeof(T)));
    EXPECT_TRUE(device().Synchronize().ok());
    EXPECT_TRUE(device()
                    .CopyToHost(reinterpret_cast<std::byte*>(values.data()),
                                reinterpret_cast<const std::byte*>(data), bytes)
                    .ok());
    return values;
  }
  // A stored matrix, where it lies on the device.
  WeightView Put(const Stored& stored, int64_t rows, int64_t cols) {
    return {Put(stored.bytes), stored.type, rows, cols};
  }

 private:
  std::vector<DeviceSlab> slabs_;
};

inline std::string DeviceName(const testing::TestParamInfo<KernelDevice>& info) {
  return info.param.name;
}

}  // namespace plimsoll
