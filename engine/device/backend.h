// One device that an engine can run on: its operations, its memory, its copies.
//
// Pointers that a backend hands out, and those that its operations take, are valid on its device;
// the copies are the way across.
//
// Threads: Memory from any; all else from the thread that owns the engine. Cost: Memory is a few
// small files or one driver call; copies and Synchronize wait for the device. Errors: Internal from
// a device, ResourceExhausted when its memory does not suffice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/ops/ops.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/arena.h"

namespace plimsoll {

struct DeviceMemory {
  Bytes total;  // what this process may ever have
  Bytes free;   // what it could have now
};

struct DeviceTraits {
  std::string model;            // "NVIDIA H100 80GB HBM3"; of a CPU, empty
  int64_t multiprocessors = 0;  // of a GPU
  int compute_capability = 0;   // of a GPU: 90 for sm_90
  std::string pci_bus_id = {};  // of a GPU: "0000:65:00.0"
  // Of a GPU's memory: in use when its context had started, by whomever, beside what a context is
  // said to take; then taken by kernels and libraries, beside what they asked for.
  Bytes context = {}, context_predicted = {};
  Bytes libraries = {}, libraries_predicted = {};
};

// A piece of a device's memory, given back when this ends.
class DeviceSlab {
 public:
  using Release = void (*)(const void* owner, std::byte* data, Bytes bytes);

  DeviceSlab() = default;  // empty
  DeviceSlab(std::byte* data, Bytes bytes, Release release, const void* owner)
      : data_(data), bytes_(bytes), release_(release), owner_(owner) {}
  DeviceSlab(DeviceSlab&& other) noexcept { *this = std::move(other); }
  DeviceSlab& operator=(DeviceSlab&& other) noexcept;
  ~DeviceSlab();

  std::byte* data() const { return data_; }
  Bytes bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  Bytes bytes_;
  Release release_ = nullptr;
  const void* owner_ = nullptr;  // what release_ is told
};

// From and to memory of the device or of the host.
struct DeviceCopy {
  std::byte* to;
  const std::byte* from;
  Bytes bytes;
};

// Memory of the host that stays where it is, so that a device copies from and to it directly; ends
// before the memory does.
class PinnedMemory {
 public:
  using Unpin = void (*)(const void* owner, std::byte* data);

  PinnedMemory() = default;  // none
  PinnedMemory(std::byte* data, Unpin unpin, const void* owner)
      : data_(data), unpin_(unpin), owner_(owner) {}
  PinnedMemory(PinnedMemory&& other) noexcept { *this = std::move(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  ~PinnedMemory();

 private:
  std::byte* data_ = nullptr;
  Unpin unpin_ = nullptr;
  const void* owner_ = nullptr;  // what unpin_ is told
};

// Operations that a device was told once and does again when it is told so, with the arguments they
// had; what those point to may have changed.
class DeviceGraph {
 public:
  using Release = void (*)(const void* owner, void* graph);

  DeviceGraph() = default;  // of nothing
  DeviceGraph(void* graph, Release release, const void* owner)
      : graph_(graph), release_(release), owner_(owner) {}
  DeviceGraph(DeviceGraph&& other) noexcept { *this = std::move(other); }
  DeviceGraph& operator=(DeviceGraph&& other) noexcept;
  ~DeviceGraph();

  void* get() const { return graph_; }

 private:
  void* graph_ = nullptr;
  Release release_ = nullptr;
  const void* owner_ = nullptr;  // what release_ is told
};

class DeviceBackend {
 public:
  virtual ~DeviceBackend() = default;

  virtual std::string_view name() const = 0;  // "cpu", "cuda"
  virtual const Ops& ops() const = 0;
  // OK, or Unimplemented with the reason why a decoder cannot run on `ops` yet.
  virtual absl::Status CanDecode() const = 0;

  virtual const DeviceTraits& traits() const = 0;
  virtual absl::StatusOr<DeviceMemory> Memory() const = 0;
  // The unit of an arena's chunks: they are a multiple of it.
  virtual Bytes ChunkGranule() const = 0;
  virtual absl::StatusOr<std::unique_ptr<Arena>> CreateArena(Bytes max, Bytes chunk) const = 0;

  // At a multiple of 256 bytes. Host memory is zeroed, and its pages are given when first touched.
  virtual absl::StatusOr<DeviceSlab> Allocate(Bytes bytes) const = 0;

  virtual absl::Status CopyToDevice(std::byte* to, const std::byte* from, Bytes bytes) const = 0;
  virtual absl::Status CopyToHost(std::byte* to, const std::byte* from, Bytes bytes) const = 0;
  // Queued like an operation.
  virtual absl::Status CopyOnDevice(std::byte* to, const std::byte* from, Bytes bytes) const = 0;
  // In the order given; returns when all are done.
  virtual absl::Status CopyAll(std::span<const DeviceCopy> copies) const = 0;
  // Nothing to do where the device's memory is the host's.
  virtual absl::StatusOr<PinnedMemory> Pin(std::byte* data, Bytes bytes) const = 0;
  // Queued like an operation, from and to memory of the host that is pinned: until Synchronize,
  // nobody else touches it.
  virtual absl::Status QueueToDevice(std::byte* to, const std::byte* from, Bytes bytes) const = 0;
  virtual absl::Status QueueToHost(std::byte* to, const std::byte* from, Bytes bytes) const = 0;
  // What `work` queues, which is not done now; `work` does nothing else to the device.
  // Unimplemented on a device whose operations are complete when they return.
  virtual absl::StatusOr<DeviceGraph> Capture(const std::function<absl::Status()>& work) const = 0;
  // Queued like an operation.
  virtual absl::Status Launch(const DeviceGraph& graph) const = 0;
  // How long the device takes for what `work` queues, in seconds; waits for it.
  virtual absl::StatusOr<double> Time(const std::function<absl::Status()>& work) const = 0;
  // Returns when everything queued on the device is done, with what went wrong in it.
  virtual absl::Status Synchronize() const = 0;
};

// Highway kernels on host memory. Every build has it.
const DeviceBackend& CpuBackend();

// The first GPU, through libplimsoll_cuda.so: beside the running program, in ../lib from there, or
// where the loader looks. Loaded once, for the life of the process; so is a failure.
// FailedPrecondition, in one line, when there is no module, no driver or no GPU.
absl::StatusOr<const DeviceBackend*> LoadCudaBackend();

}  // namespace plimsoll
