// The engine: a model on a device, its paged pool sized by the plan, admission and the loop.
//
// Create plans the memory with the same code as `plimsoll plan`, loads the weights, makes the
// decoder with its graphs, commits the pool last and reports predicted beside measured bytes for
// each stage. Where less of the budget is left on a GPU then than was planned, the pool has fewer
// blocks, or Create fails if it was asked for by its blocks and they are not there. Activations on
// the CPU are fp32; what they and the rotary table take beyond the plan's formula is counted as
// runtime, so that the prediction is of this engine and the pool is what is really left.
//
// Threads: the parts say for themselves. Errors: those of reading the model; ResourceExhausted with
// both figures when the memory is not there; Unimplemented for a model the decoder cannot run.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/loop/generation_loop.h"
#include "kvcache/admission/shared_admission.h"
#include "kvcache/sizing/inference_plan.h"

namespace plimsoll {

class DeviceBackend;  // engine/device/backend.h

// What one stage of start-up was predicted to take and what it took.
struct MemoryStage {
  std::string name;  // "weights", "activations", "pool"; of a GPU first "context" and "libraries"
  Bytes predicted;
  Bytes measured;
};

struct EngineOptions {
  std::string model_path;                  // a folder with config.json and safetensors
  std::string device = "auto";             // "auto", "cpu", "cuda"
  const DeviceBackend* backend = nullptr;  // one that is open already, in place of `device`
  // Device memory to plan for; default: what the device has free.
  std::optional<Bytes> memory = std::nullopt;
  std::optional<Blocks> blocks = std::nullopt;  // a pool of exactly this many blocks instead
  // That Resize may make of them, at least as many; default: no more than at the start. Addresses
  // and the rotary table are made for so many at once.
  std::optional<Blocks> max_blocks = std::nullopt;
  // A Unix socket at which other processes of this user map the pool (device/pool_export.h); empty:
  // none do.
  std::string export_socket = {};
  // Of the host's memory, in which sequences that stop for others are kept, whole blocks of the
  // pool's size; default: none, and they compute their tokens again.
  std::optional<Bytes> swap = std::nullopt;
  double utilization = 0.92;
  Tokens block_tokens = Tokens(16);
  // How matrices are held: int8 or int4, into which they are rounded; default: as stored.
  std::optional<WeightFormat> weights = std::nullopt;
  // How K and V are stored; default: fp16 for fp16 models, bf16 otherwise.
  std::optional<ElementType> kv_type = std::nullopt;
  LoopOptions loop = {};
  // What becomes of blocks that were computed and that prefix_hashes name; off: they are not kept.
  Eviction eviction = Eviction::kOff;
  AdmissionOptions admission = {};  // an empty epoch is replaced; max_context becomes the model's
  bool reference = false;           // scalar operations, the judge of the fast ones; CPU only
  bool poison_pool = false;  // fills the pool with NaN first, so that a test sees a stray read
};

class PoolExport;  // engine/device/pool_export.h

using PoolResizedHandler = std::function<void(const absl::StatusOr<PoolResized>&)>;

class Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options,
                                                        const Clock& clock);
  ~Engine();

  const ModelConfig& model() const;
  const InferencePlan& plan() const;
  const std::string& device() const;       // "cpu", "cuda"
  const std::string& device_note() const;  // why "auto" chose the CPU; empty if asked for
  // Of the pool, the last, as it is now. From any thread.
  std::vector<MemoryStage> memory() const;
  const CacheLayout& layout() const;
  SharedAdmission& admission();
  GenerationLoop& loop();
  // The pool has `total` blocks from the next boundary of steps on, its memory is committed or
  // given back, and what lies in blocks that go is moved. From any thread; `done` hears what became
  // of it, as AdmissionController::Resize says, from the thread that steps, and must not block;
  // Unavailable, at once, where the loop has stopped.
  void Resize(Blocks total, PoolResizedHandler done);
  // Null where nothing is exported. Somebody has to call its Serve.
  PoolExport* exported();

  // What the loop works with, for who measures or steps by themselves instead.
  Decoder& decoder();
  Arena& arena();
  const DeviceBackend& backend() const;

 private:
  struct Parts;
  explicit Engine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace plimsoll
