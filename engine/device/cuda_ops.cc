#include "engine/device/cuda_ops.h"

#include <bit>
#include <cstddef>
#include <type_traits>

#include "absl/strings/str_format.h"
#include "engine/device/cuda_status.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

static_assert(int{PLIMSOLL_CUDA_FP16} == static_cast<int>(ElementType::kFp16));
static_assert(int{PLIMSOLL_CUDA_BF16} == static_cast<int>(ElementType::kBf16));
static_assert(int{PLIMSOLL_CUDA_FP8} == static_cast<int>(ElementType::kFp8));
static_assert(int{PLIMSOLL_CUDA_INT8} == static_cast<int>(ElementType::kInt8));
static_assert(int{PLIMSOLL_CUDA_INT4} == static_cast<int>(ElementType::kInt4));

// A row's place is the same bytes in both.
static_assert(sizeof(RowPlace) == sizeof(PlimsollCudaRow));
static_assert(offsetof(RowPlace, table) == offsetof(PlimsollCudaRow, table));

const PlimsollCudaKernels* kernels = nullptr;

// Calls the kernel with its arguments, if there is one.
template <class Kernel, class Arguments>
absl::Status Run(const char* operation, Kernel kernel, const Arguments& arguments) {
  PLIMSOLL_CHECK(kernels != nullptr);
  if (kernels->*kernel == nullptr) {
    return absl::UnimplementedError(absl::StrFormat("cuda: %s has no kernel yet", operation));
  }
  PlimsollCudaMessage message = {};
  return CudaStatus((kernels->*kernel)(&arguments, &message), operation, message);
}

int32_t CudaType(ElementType type) { return static_cast<int32_t>(type); }

// Where results go, and as what.
struct Output {
  void* data;
  int32_t type;
};

Output OutputOf(float* out, const Narrowed& narrowed) {
  if (narrowed.data == nullptr) return {out, PLIMSOLL_CUDA_FP32};
  return {narrowed.data, CudaType(narrowed.type)};
}

PlimsollCudaCache CudaCache(const PagedLayer& cache) {
  return {.pool = reinterpret_cast<unsigned char*>(cache.pool),
          .type = CudaType(cache.type),
          .block_tokens_log2 = std::countr_zero(static_cast<uint64_t>(cache.block_tokens)),
          .block_bytes = cache.block_bytes,
          .layer_offset = cache.layer.offset.value(),
          .head_bytes = cache.layer.head_bytes.value(),
          .kv_bytes = cache.layer.kv_bytes.value(),
          .row_bytes = cache.layer.row_bytes.value(),
          .scales_offset = cache.layer.scales.value(),
          .kv_heads = static_cast<int32_t>(cache.layer.kv_heads),
          .head_dim = static_cast<int32_t>(cache.layer.head_dim)};
}

// Nothing comes after no memory: what lacks it is refused by the kernel's name, not by an address.
int32_t* After(int32_t* memory, int64_t count) {
  return memory == nullptr ? nullptr : memory + count;
}

absl::Status Embed(const EmbedArgs& args) {
  return Run("embed", &PlimsollCudaKernels::embed,
             PlimsollCudaEmbed{.ids = args.ids,
                               .drawn = args.drawn,
                               .rows = args.rows,
                               .table = CudaWeight(args.table),
                               .scale = args.scale,
                               .out = args.out});
}

absl::Status RmsNorm(const RmsNormArgs& args) {
  const Output out = OutputOf(args.out, args.narrowed);
  return Run("rms_norm", &PlimsollCudaKernels::rms_norm,
             PlimsollCudaRmsNorm{.x = args.x,
                                 .rows = args.rows,
                                 .cols = args.cols,
                                 .gain = CudaWeight(args.gain),
                                 .gain_offset = args.gain_offset,
                                 .epsilon = args.epsilon,
                                 .out = out.data,
                                 .out_type = out.type,
                                 .accumulate = args.accumulate});
}

absl::Status Linear(const LinearArgs& args) {
  const bool narrowed = args.narrowed.data != nullptr;  // without, the kernel has no such type
  return Run("linear", &PlimsollCudaKernels::linear,
             PlimsollCudaLinear{
                 .x = args.narrowed.data,
                 .x_type = narrowed ? CudaType(args.narrowed.type) : int32_t{PLIMSOLL_CUDA_FP32},
                 .rows = args.rows,
                 .weight = CudaWeight(args.weight),
                 .bias = CudaWeight(args.bias),
                 .accumulate = args.accumulate,
                 .out = args.out});
}

absl::Status LibraryLinear(const LinearArgs& args) {
  PLIMSOLL_CHECK(args.bias.data == nullptr && args.weight.type == args.narrowed.type);
  return Run("library_linear", &PlimsollCudaKernels::gemm,
             PlimsollCudaGemm{.x = args.narrowed.data,
                              .weight = args.weight.data,
                              .type = CudaType(args.narrowed.type),
                              .rows = args.rows,
                              .cols = args.weight.rows,
                              .inner = args.weight.cols,
                              .accumulate = args.accumulate,
                              .out = args.out,
                              .out_stride = args.weight.rows});
}

absl::Status RotateAndAppend(const RotateAndAppendArgs& args) {
  return Run("rotate_and_append", &PlimsollCudaKernels::rotate_and_append,
             PlimsollCudaAppend{.q = args.q,
                                .k = args.k,
                                .v = args.v,
                                .rows = args.rows,
                                .heads = args.heads,
                                .rotated_dims = args.rotated_dims,
                                .cos = args.cos,
                                .sin = args.sin,
                                .places = reinterpret_cast<const PlimsollCudaRow*>(args.places),
                                .cache = CudaCache(args.cache)});
}

absl::Status Attention(const AttentionArgs& args) {
  const Output out = OutputOf(args.out, args.narrowed);
  const PagedLayer& cache = args.cache;
  const LayerLayout& layer = cache.layer;
  const AttentionWork& work = args.work;
  return Run("attention", &PlimsollCudaKernels::attention,
             PlimsollCudaAttention{
                 .q = args.q,
                 .out = out.data,
                 .out_type = out.type,
                 .type = CudaType(cache.type),
                 .places = reinterpret_cast<const PlimsollCudaRow*>(args.places),
                 .sinks = args.sinks,
                 .heads = static_cast<int32_t>(args.heads),
                 .kv_heads = static_cast<int32_t>(layer.kv_heads),
                 .head_dim = static_cast<int32_t>(layer.head_dim),
                 .scale = args.scale,
                 .softcap = args.softcap,
                 .window = args.window,
                 .layer = reinterpret_cast<const unsigned char*>(cache.pool) + layer.offset.value(),
                 .block_tokens = static_cast<int32_t>(cache.block_tokens),
                 .block_bytes = cache.block_bytes,
                 .head_bytes = layer.head_bytes.value(),
                 .kv_bytes = layer.kv_bytes.value(),
                 .scales = (layer.scales - layer.offset).value(),
                 .items = work.items,
                 .item_count = work.item_count,
                 .chunks = work.chunks,
                 .chunk_count = work.chunk_count,
                 .splits = work.splits,
                 .split_count = work.split_count,
                 .partial_sums = work.partial_sums,
                 .partial_weights = work.partial_weights});
}

absl::Status GatedActivation(const GatedActivationArgs& args) {
  const Output out = OutputOf(args.out, args.narrowed);
  return Run("gated_activation", &PlimsollCudaKernels::gated_activation,
             PlimsollCudaGatedActivation{.gate = args.gate,
                                         .up = args.up,
                                         .count = args.count,
                                         .activation = static_cast<int32_t>(args.activation),
                                         .out = out.data,
                                         .out_type = out.type});
}

absl::Status Softcap(const SoftcapArgs& args) {
  return Run("softcap", &PlimsollCudaKernels::softcap,
             PlimsollCudaSoftcap{.x = args.x, .count = args.count, .cap = args.cap});
}

absl::Status Route(const RouteArgs& args) {
  return Run("route", &PlimsollCudaKernels::route,
             PlimsollCudaRoute{.logits = args.logits,
                               .shared = args.shared,
                               .rows = args.rows,
                               .experts = static_cast<int32_t>(args.experts),
                               .active = static_cast<int32_t>(args.active),
                               .renormalise = args.renormalise,
                               .chosen = args.chosen,
                               .shares = args.shares});
}

absl::Status Experts(const ExpertsArgs& args) {
  const ExpertScratch& scratch = args.scratch;
  const int64_t slots = args.rows * args.choices;
  return Run("experts", &PlimsollCudaKernels::experts,
             PlimsollCudaExperts{.x = args.narrowed.data,
                                 .x_type = CudaType(args.narrowed.type),
                                 .chosen = args.chosen,
                                 .shares = args.shares,
                                 .rows = args.rows,
                                 .choices = args.choices,
                                 .hidden = args.experts[0].gate.cols,
                                 .experts = args.table.experts,
                                 .count = args.count,
                                 .width = args.table.width,
                                 .type = CudaType(args.table.type),
                                 .groups_of_32 = args.table.groups_of_32,
                                 .activation = static_cast<int32_t>(args.activation),
                                 .gathered = scratch.gathered,
                                 .gate = scratch.gate,
                                 .up = scratch.up,
                                 .gated = args.narrowed.data,
                                 .mixed = scratch.mixed,
                                 .choice_of_slot = scratch.picked,
                                 .slot_of_choice = After(scratch.picked, slots),
                                 .first_slot = After(scratch.picked, 2 * slots),
                                 .out = args.out});
}

absl::Status Sample(const SampleArgs& args) {
  return Run("sample", &PlimsollCudaKernels::sample,
             PlimsollCudaSample{.logits = args.logits,
                                .rows = args.rows,
                                .vocab = args.vocab,
                                .draws = args.draws,
                                .tokens = args.tokens});
}

constexpr Ops kOps = {
    .name = "cuda",
    .device = Device::kCuda,
    .embed = &Embed,
    .rms_norm = &RmsNorm,
    .linear = &Linear,
    .rotate_and_append = &RotateAndAppend,
    .attention = &Attention,
    .gated_activation = &GatedActivation,
    .sample = &Sample,
    .softcap = &Softcap,
    .route = &Route,
    .experts = &Experts,
    .library_linear = &LibraryLinear,
};

}  // namespace

PlimsollCudaWeight CudaWeight(const WeightView& weight) {
  return {.data = weight.data,
          .scales = weight.scales,
          .rows = weight.rows,
          .cols = weight.cols,
          .group = weight.group,
          .type = CudaType(weight.type)};
}

const Ops& CudaOps(const PlimsollCudaModule& module) {
  kernels = &module.kernels;
  return kOps;
}

}  // namespace plimsoll
