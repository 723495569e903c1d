#include "engine/engine.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "engine/decoder/layer_weights.h"
#include "engine/device/choose_device.h"
#include "engine/engine_plan.h"
#include "engine/weights/weights.h"
#include "kvcache/base/errors.h"
#include "kvcache/model/config_reader.h"

namespace plimsoll {

// In the order in which they need each other; they end in the opposite order.
struct Engine::Parts {
  ModelConfig model;
  InferencePlan plan;
  CacheLayout layout;
  DeviceChoice device;
  std::string device_name;
  std::unique_ptr<Weights> weights;
  std::unique_ptr<Arena> arena;
  std::unique_ptr<KvCache> cache;
  std::unique_ptr<SharedAdmission> admission;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<GenerationLoop> loop;
  std::vector<MemoryStage> memory;

  absl::Status Plan(const EngineOptions& options);
  absl::Status Load(const EngineOptions& options);
  absl::Status CommitPool(const EngineOptions& options);
  absl::Status Start(const EngineOptions& options, const Clock& clock);
  void Measure();
};

absl::Status Engine::Parts::Plan(const EngineOptions& options) {
  absl::StatusOr<ModelConfig> read = ReadModelConfig(options.model_path);
  if (!read.ok()) return read.status();
  model = *std::move(read);
  PLIMSOLL_RETURN_IF_ERROR(CheckDecodable(model));
  const absl::StatusOr<DeviceChoice> choice = ChooseDevice(options.device);
  if (!choice.ok()) return choice.status();
  device = *choice;
  device_name = std::string(device.backend->name());
  PLIMSOLL_RETURN_IF_ERROR(device.backend->CanDecode());
  if (options.reference && device_name != "cpu") {
    return absl::InvalidArgumentError("reference operations: want the device cpu");
  }
  const absl::StatusOr<DeviceMemory> memory_there = device.backend->Memory();
  if (!memory_there.ok()) return memory_there.status();
  absl::StatusOr<InferencePlan> planned = PlanEngine(model, options, memory_there->free);
  if (!planned.ok()) return planned.status();
  plan = *std::move(planned);
  absl::StatusOr<CacheLayout> laid_out = CacheLayoutFor(model, plan.kv_type, plan.block_tokens);
  if (!laid_out.ok()) return laid_out.status();
  layout = *std::move(laid_out);
  return absl::OkStatus();
}

// Weights lie beside the config.json, which the path may name.
absl::Status Engine::Parts::Load(const EngineOptions& options) {
  std::error_code ignored;
  std::filesystem::path folder = options.model_path;
  if (!std::filesystem::is_directory(folder, ignored)) folder = folder.parent_path();
  std::optional<ElementType> quantised;
  if (options.weights) quantised = std::get<ElementType>(*options.weights);  // PlanEngine saw to it
  absl::StatusOr<std::unique_ptr<Weights>> loaded =
      Weights::Load(folder.string(), model, quantised);
  if (!loaded.ok()) return loaded.status();
  weights = *std::move(loaded);
  return absl::OkStatus();
}

absl::Status Engine::Parts::CommitPool(const EngineOptions& options) {
  const Bytes chunk = device.backend->ChunkGranule();
  absl::StatusOr<std::unique_ptr<Arena>> created =
      device.backend->CreateArena(plan.kv_pool_bytes, chunk);
  if (!created.ok()) return Annotate(created.status(), "pool");
  arena = *std::move(created);
  PLIMSOLL_RETURN_IF_ERROR(Annotate(arena->Commit({0, arena->chunks()}), "pool"));
  if (!options.poison_pool) return absl::OkStatus();
  const std::vector<std::byte> poison(static_cast<size_t>(chunk.value()), std::byte{0xff});
  for (int64_t i = 0; i < arena->chunks(); ++i) {
    PLIMSOLL_RETURN_IF_ERROR(
        device.backend->CopyToDevice(arena->base() + i * chunk.value(), poison.data(), chunk));
  }
  return absl::OkStatus();
}

absl::Status Engine::Parts::Start(const EngineOptions& options, const Clock& clock) {
  absl::StatusOr<std::unique_ptr<KvCache>> cache_made =
      KvCache::Create({.capacity = plan.blocks, .block_tokens = plan.block_tokens});
  if (!cache_made.ok()) return cache_made.status();
  cache = *std::move(cache_made);
  AdmissionOptions admission_options = options.admission;
  if (admission_options.epoch.empty()) admission_options.epoch = RandomEpoch();
  admission_options.max_context = model.max_context;
  absl::StatusOr<std::unique_ptr<AdmissionController>> controller =
      AdmissionController::Create(admission_options, *cache, clock);
  if (!controller.ok()) return controller.status();
  admission = std::make_unique<SharedAdmission>(*std::move(controller));
  const Ops& ops = options.reference ? ReferenceOps() : device.backend->ops();
  absl::StatusOr<std::unique_ptr<Decoder>> decoder_made =
      Decoder::Create(model, *weights, ops, layout, *arena, DecoderOptionsFor(options.loop));
  if (!decoder_made.ok()) return decoder_made.status();
  decoder = *std::move(decoder_made);
  loop = std::make_unique<GenerationLoop>(*decoder, *admission, options.loop);
  return absl::OkStatus();
}

void Engine::Parts::Measure() {
  memory = {{"weights", plan.weights_bytes, weights->resident_bytes()},
            {"activations", plan.io_bytes + plan.activation_bytes + plan.runtime_bytes,
             decoder->buffer_bytes()},
            {"pool", plan.kv_pool_bytes, arena->committed_bytes()}};
}

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Engine::~Engine() = default;

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options,
                                                       const Clock& clock) {
  auto parts = std::make_unique<Parts>();
  PLIMSOLL_RETURN_IF_ERROR(parts->Plan(options));
  PLIMSOLL_RETURN_IF_ERROR(parts->Load(options));
  PLIMSOLL_RETURN_IF_ERROR(parts->CommitPool(options));
  PLIMSOLL_RETURN_IF_ERROR(parts->Start(options, clock));
  parts->Measure();
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

const ModelConfig& Engine::model() const { return parts_->model; }
const InferencePlan& Engine::plan() const { return parts_->plan; }
const std::string& Engine::device() const { return parts_->device_name; }
const std::string& Engine::device_note() const { return parts_->device.note; }
const std::vector<MemoryStage>& Engine::memory() const { return parts_->memory; }
const CacheLayout& Engine::layout() const { return parts_->layout; }
SharedAdmission& Engine::admission() { return *parts_->admission; }
GenerationLoop& Engine::loop() { return *parts_->loop; }
Decoder& Engine::decoder() { return *parts_->decoder; }
Arena& Engine::arena() { return *parts_->arena; }
const DeviceBackend& Engine::backend() const { return *parts_->device.backend; }

}  // namespace plimsoll
