#include "engine/engine.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <random>
#include <system_error>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "engine/decoder/layer_weights.h"
#include "engine/device/choose_device.h"
#include "engine/device/pool_export.h"
#include "engine/device/pool_memory.h"
#include "engine/engine_plan.h"
#include "engine/loop/swap_space.h"
#include "engine/weights/weights.h"
#include "kvcache/base/errors.h"
#include "kvcache/base/mutex.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/config_reader.h"

namespace plimsoll {

constexpr int64_t kMostSwapBlocks = std::numeric_limits<int32_t>::max();

// In the order in which they need each other; they end in the opposite order.
struct Engine::Parts {
  ModelConfig model;
  InferencePlan plan;
  CacheLayout layout;
  DeviceChoice device;
  std::string device_name;
  std::unique_ptr<Weights> weights;
  std::unique_ptr<PoolMemory> pool;
  std::unique_ptr<PoolExport> exported;  // null: none
  std::unique_ptr<KvCache> cache;
  std::unique_ptr<SharedAdmission> admission;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<SwapSpace> swap;  // null: none
  std::unique_ptr<GenerationLoop> loop;
  Bytes free_at_start;  // of the device, when the plan was made
  Bytes free_seen;      // when Taken was last called
  Blocks first_blocks;  // of the pool: the plan's, or as many as there was memory for
  std::optional<Bytes> weights_took, pool_took, decoder_took;
  Mutex memory_mutex;
  std::vector<MemoryStage> memory ABSL_GUARDED_BY(memory_mutex);

  absl::Status Plan(const EngineOptions& options);
  absl::Status Load(const EngineOptions& options);
  absl::Status ReservePool(const EngineOptions& options);
  absl::Status MakeDecoder(const EngineOptions& options);
  absl::Status SizePool(const EngineOptions& options);
  absl::Status CommitPool();
  absl::Status Export(const std::string& socket, const Clock& clock);
  absl::Status Start(const EngineOptions& options, const Clock& clock);
  absl::Status MakeSwapSpace(Bytes bytes);
  std::optional<Bytes> Taken();
  void Measure();
  void MeasureGpu() ABSL_EXCLUSIVE_LOCKS_REQUIRED(memory_mutex);
  // The pool has another size, and so another share of the memory.
  void NotePool(Blocks total);
  absl::Status CheckRoomFor(Blocks total);
  absl::StatusOr<PoolResized> Resize(Blocks total);
};

absl::Status Engine::Parts::Plan(const EngineOptions& options) {
  absl::StatusOr<ModelConfig> read = ReadModelConfig(options.model_path);
  if (!read.ok()) return read.status();
  model = *std::move(read);
  PLIMSOLL_RETURN_IF_ERROR(CheckDecodable(model));
  if (options.backend != nullptr) {
    device = {.backend = options.backend, .note = {}};
  } else {
    const absl::StatusOr<DeviceChoice> choice = ChooseDevice(options.device);
    if (!choice.ok()) return choice.status();
    device = *choice;
  }
  device_name = std::string(device.backend->name());
  PLIMSOLL_RETURN_IF_ERROR(device.backend->CanDecode());
  if (options.reference && device_name != "cpu") {
    return absl::InvalidArgumentError("reference operations: want the device cpu");
  }
  const absl::StatusOr<DeviceMemory> memory_there = device.backend->Memory();
  if (!memory_there.ok()) return memory_there.status();
  free_at_start = memory_there->free;
  absl::StatusOr<InferencePlan> planned =
      PlanEngine(model, *device.backend, options, free_at_start);
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
  return weights->MoveTo(*device.backend);
}

// Addresses alone, but for a slab: so graphs are captured for a pool whose memory comes last.
absl::Status Engine::Parts::ReservePool(const EngineOptions& options) {
  absl::StatusOr<std::unique_ptr<PoolMemory>> reserved =
      PoolMemory::Create(*device.backend, {.block_bytes = layout.block_bytes,
                                           .blocks = Blocks(0),
                                           .most = options.max_blocks.value_or(plan.blocks),
                                           .poison = options.poison_pool});
  if (!reserved.ok()) return Annotate(reserved.status(), "pool");
  pool = *std::move(reserved);
  return absl::OkStatus();
}

absl::Status Engine::Parts::MakeDecoder(const EngineOptions& options) {
  const Ops& ops = options.reference ? ReferenceOps() : device.backend->ops();
  absl::StatusOr<std::unique_ptr<Decoder>> made =
      Decoder::Create(model, *weights, {*device.backend, ops}, layout, pool->arena(),
                      DecoderOptionsFor(options.loop));
  if (!made.ok()) return made.status();
  decoder = *std::move(made);
  return absl::OkStatus();
}

// Everything else is there. What it took beyond its prediction the pool has less, unless it was
// asked for by its blocks: what the plan left out of its budget stays free for what a first prompt
// may still take. Of a CPU others take memory as well, and a slab is taken already.
absl::Status Engine::Parts::SizePool(const EngineOptions& options) {
  first_blocks = plan.blocks;
  const bool on_cpu = device.backend->ops().device == Device::kCpu;
  if (on_cpu || pool->arena().kind() == "cuda-slab") return absl::OkStatus();
  const absl::StatusOr<DeviceMemory> there = device.backend->Memory();
  if (!there.ok()) return there.status();
  const Bytes chunk = pool->arena().chunk_bytes();
  Bytes room = there->free / chunk * chunk;
  if (!options.blocks) {
    const Bytes taken = free_at_start - std::min(there->free, free_at_start);
    const Bytes budget = plan.budget_bytes - plan.margin_bytes;
    room = std::min(room, std::max(budget - taken, Bytes(0)));
  }
  const Blocks fitting = BlocksFittingIn(room, layout.block_bytes);
  if (fitting >= first_blocks) return absl::OkStatus();
  if (options.blocks || fitting < Blocks(1)) {
    return absl::ResourceExhaustedError("a pool of " + std::to_string(first_blocks.value()) +
                                        " blocks needs " + FormatSize(plan.kv_pool_bytes) + ", " +
                                        FormatSize(room) + " are left");
  }
  first_blocks = fitting;
  return absl::OkStatus();
}

absl::Status Engine::Parts::CommitPool() {
  return Annotate(pool->Prepare(first_blocks, {}), "pool");
}

absl::Status Engine::Parts::Start(const EngineOptions& options, const Clock& clock) {
  absl::StatusOr<std::unique_ptr<KvCache>> cache_made =
      KvCache::Create({.capacity = first_blocks,
                       .block_tokens = plan.block_tokens,
                       .eviction = options.eviction,
                       .hash_seed = uint64_t{std::random_device()()} << 32 | std::random_device()(),
                       .most = options.max_blocks.value_or(plan.blocks)});
  if (!cache_made.ok()) return cache_made.status();
  cache = *std::move(cache_made);
  AdmissionOptions admission_options = options.admission;
  if (admission_options.epoch.empty()) admission_options.epoch = RandomEpoch();
  admission_options.max_context = model.max_context;
  admission_options.last_token_is_computed = true;
  absl::StatusOr<std::unique_ptr<AdmissionController>> controller =
      AdmissionController::Create(admission_options, *cache, clock);
  if (!controller.ok()) return controller.status();
  admission = std::make_unique<SharedAdmission>(*std::move(controller));
  if (options.swap) PLIMSOLL_RETURN_IF_ERROR(MakeSwapSpace(*options.swap));
  loop = std::make_unique<GenerationLoop>(*decoder, *admission, options.loop, swap.get());
  return absl::OkStatus();
}

absl::Status Engine::Parts::MakeSwapSpace(Bytes bytes) {
  const bool nobody_stops =
      admission->With([](AdmissionController& controller) { return controller.promises_whole(); });
  if (nobody_stops) {
    return absl::InvalidArgumentError(
        "swap: nobody stops under never-evict; want a policy that promises less");
  }
  if (bytes < layout.block_bytes || bytes / layout.block_bytes > kMostSwapBlocks) {
    return BadField("swap", bytes.value(),
                    "1 to 2^31 - 1 blocks of " + FormatSize(layout.block_bytes));
  }
  absl::StatusOr<std::unique_ptr<SwapSpace>> made = SwapSpace::Create(
      *cache, *device.backend, pool->arena().base(),
      {.block_bytes = layout.block_bytes, .blocks = BlocksFittingIn(bytes, layout.block_bytes)});
  if (!made.ok()) return Annotate(made.status(), "swap");
  swap = *std::move(made);
  return absl::OkStatus();
}

absl::Status Engine::Parts::Export(const std::string& socket, const Clock& clock) {
  if (socket.empty()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<PoolExport>> made = PoolExport::Create(
      {.path = socket, .block_bytes = layout.block_bytes}, pool->arena(), first_blocks, clock);
  if (!made.ok()) return Annotate(made.status(), "export");
  exported = *std::move(made);
  return absl::OkStatus();
}

// Under the lock of admission: who is granted blocks meanwhile would be granted those that go.
// Whether the device has the memory that a larger pool takes.
absl::Status Engine::Parts::CheckRoomFor(Blocks total) {
  const Bytes wanted = total.value() * layout.block_bytes;
  const Bytes there = pool->arena().committed_bytes();
  if (pool->arena().kind() == "cuda-slab" || wanted <= there) return absl::OkStatus();
  const absl::StatusOr<DeviceMemory> memory_there = device.backend->Memory();
  if (!memory_there.ok()) return memory_there.status();
  if (wanted - there <= memory_there->free) return absl::OkStatus();
  return absl::ResourceExhaustedError("a pool of " + std::to_string(total.value()) +
                                      " blocks needs " + FormatSize(wanted - there) + " more, " +
                                      FormatSize(memory_there->free) + " are free");
}

// Memory for more blocks is taken before the lock, since that can take seconds; what blocks hold is
// moved under it, lest somebody be granted those that go. Only the loop's thread resizes.
absl::StatusOr<PoolResized> Engine::Parts::Resize(Blocks total) {
  const Blocks before = admission->With(
      [](AdmissionController& controller) { return controller.cache().counts().total; });
  const bool grows = total > before && total <= cache->most();
  if (total < before && pool->arena().kind() == "cuda-slab") {
    return absl::UnimplementedError("the pool is one slab of memory, of which no part goes back");
  }
  if (grows) {
    PLIMSOLL_RETURN_IF_ERROR(CheckRoomFor(total));
    PLIMSOLL_RETURN_IF_ERROR(Annotate(pool->Prepare(total, {}), "pool"));
  }
  const auto prepare = [this](Blocks blocks, std::span<const BlockMove> moves) {
    return Annotate(pool->Prepare(blocks, moves), "pool");
  };
  absl::StatusOr<PoolResized> resized = admission->With(
      [&](AdmissionController& controller) { return controller.Resize(total, prepare); });
  if (!resized.ok()) {
    if (grows) pool->GiveBackBeyond(before).IgnoreError();
    return resized;
  }
  const absl::Status given_back = pool->GiveBackBeyond(total);
  NotePool(total);
  const absl::Status announced = exported ? exported->Announce(total) : absl::OkStatus();
  if (!given_back.ok()) return Annotate(given_back, "pool");
  if (!announced.ok()) return Annotate(announced, "resized, but export");
  return resized;
}

void Engine::Parts::NotePool(Blocks total) {
  MutexLock lock(memory_mutex);
  memory.back() = {"pool", total.value() * layout.block_bytes, pool->arena().committed_bytes()};
}

// What the device has less of since the last call; of a CPU, whose memory others take as well,
// nothing.
std::optional<Bytes> Engine::Parts::Taken() {
  if (device.backend->ops().device == Device::kCpu) return std::nullopt;
  const absl::StatusOr<DeviceMemory> now = device.backend->Memory();
  if (!now.ok()) return std::nullopt;
  const Bytes before = std::exchange(free_seen, now->free);
  return before > now->free ? before - now->free : Bytes(0);
}

// As the device tells it, with what was there before anything of the engine's.
void Engine::Parts::MeasureGpu() {
  Bytes decoder_parts;
  for (const MemoryStage& stage : memory) {
    if (stage.name != "weights" && stage.name != "pool") decoder_parts += stage.measured;
  }
  for (MemoryStage& stage : memory) {
    if (stage.name == "weights") stage.measured = weights_took.value_or(stage.measured);
    if (stage.name == "pool") stage.measured = pool_took.value_or(stage.measured);
    if (stage.name != "activations" || !decoder_took) continue;
    const Bytes others = decoder_parts - stage.measured;  // graphs, measured by themselves
    stage.measured = *decoder_took > others ? *decoder_took - others : Bytes(0);
  }
  const DeviceTraits& traits = device.backend->traits();
  memory.insert(memory.begin(), {{"context", traits.context_predicted, traits.context},
                                 {"libraries", traits.libraries_predicted, traits.libraries}});
}

void Engine::Parts::Measure() {
  MutexLock lock(memory_mutex);
  const Bytes graphs = Decoder::GraphBytesFor(model, *device.backend, decoder->options());
  const Bytes runtime = plan.runtime_bytes - graphs;
  memory = {
      {"weights", plan.weights_bytes, weights->resident_bytes()},
      {"activations", plan.io_bytes + plan.activation_bytes + runtime, decoder->buffer_bytes()}};
  if (graphs > Bytes(0)) memory.push_back({"graphs", graphs, decoder->graph_bytes()});
  memory.push_back({"pool", plan.kv_pool_bytes, pool->arena().committed_bytes()});
  if (device.backend->ops().device == Device::kCuda) MeasureGpu();
}

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Engine::~Engine() = default;

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options,
                                                       const Clock& clock) {
  auto parts = std::make_unique<Parts>();
  PLIMSOLL_RETURN_IF_ERROR(parts->Plan(options));
  parts->Taken();
  PLIMSOLL_RETURN_IF_ERROR(parts->Load(options));
  parts->weights_took = parts->Taken();
  PLIMSOLL_RETURN_IF_ERROR(parts->ReservePool(options));
  const Bytes reserved = parts->Taken().value_or(Bytes(0));
  PLIMSOLL_RETURN_IF_ERROR(parts->MakeDecoder(options));
  parts->decoder_took = parts->Taken();
  PLIMSOLL_RETURN_IF_ERROR(parts->SizePool(options));
  PLIMSOLL_RETURN_IF_ERROR(parts->CommitPool());
  parts->pool_took = parts->Taken();
  if (parts->pool_took) *parts->pool_took += reserved;
  PLIMSOLL_RETURN_IF_ERROR(parts->Export(options.export_socket, clock));
  PLIMSOLL_RETURN_IF_ERROR(parts->Start(options, clock));
  parts->Measure();
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

const ModelConfig& Engine::model() const { return parts_->model; }
const InferencePlan& Engine::plan() const { return parts_->plan; }
const std::string& Engine::device() const { return parts_->device_name; }
const std::string& Engine::device_note() const { return parts_->device.note; }
std::vector<MemoryStage> Engine::memory() const {
  MutexLock lock(parts_->memory_mutex);
  return parts_->memory;
}
const CacheLayout& Engine::layout() const { return parts_->layout; }
SharedAdmission& Engine::admission() { return *parts_->admission; }
GenerationLoop& Engine::loop() { return *parts_->loop; }
Decoder& Engine::decoder() { return *parts_->decoder; }
Arena& Engine::arena() { return parts_->pool->arena(); }
const DeviceBackend& Engine::backend() const { return *parts_->device.backend; }
PoolExport* Engine::exported() { return parts_->exported.get(); }

void Engine::Resize(Blocks total, PoolResizedHandler done) {
  Parts& parts = *parts_;
  const auto resize = [&parts, total, done] { done(parts.Resize(total)); };
  if (!parts.loop->BetweenSteps(resize)) {
    done(absl::UnavailableError("the generation loop has stopped"));
  }
}

}  // namespace plimsoll
