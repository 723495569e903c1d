#include "engine/decoder/step_buffers.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kAlignment = 64;  // bytes
constexpr int64_t kElementBytes = 4;
constexpr int64_t kNarrowPairs = 2;  // numbers of 16 bits in an element
constexpr size_t kPieces = 22;
static_assert(sizeof(float) == kElementBytes && sizeof(int32_t) == kElementBytes);

struct Piece {
  int64_t rows, cols;

  int64_t AlignedBytes() const {
    return CeilDivide(rows * cols * kElementBytes, kAlignment) * kAlignment;
  }
};

// In the order of StepBuffers.
std::array<Piece, kPieces> PiecesOf(const ModelConfig& model, const StepShape& shape) {
  const int64_t rows = shape.rows;
  const int64_t logit_rows = shape.logit_rows;
  int64_t q_width = 0;
  int64_t kv_width = 0;
  for (const AttentionSpec& layer : model.attention) {
    q_width = std::max(q_width, layer.heads * layer.head_dim);
    kv_width = std::max(kv_width, layer.kv_heads * layer.head_dim);
  }
  const int64_t hidden = model.hidden_size;
  const Mixture mixture = model.mixture.value_or(Mixture{});  // of nothing
  const int64_t routed = model.mixture ? rows : 0;
  // On CUDA each choice of a row has a place of its own.
  const int64_t slots = shape.narrows ? routed * ChoicesOf(mixture) : routed;
  const int64_t expert = std::max(mixture.width, mixture.shared_width);
  const int64_t wide = std::max(rows * model.intermediate_size, slots * expert);
  const int64_t narrow =
      shape.narrows ? CeilDivide(std::max(rows * std::max(hidden, q_width), wide), kNarrowPairs)
                    : 0;
  const int64_t gathered = shape.narrows ? CeilDivide(hidden, kNarrowPairs) : hidden;
  const int64_t picked = shape.narrows ? 2 * slots + ExpertsOf(mixture) + 1 : slots;
  const int64_t pairs = model.rotary.rotated_dims / 2;
  return {{{rows, hidden},
           {rows, hidden},
           {rows, q_width},
           {rows, kv_width},
           {rows, kv_width},
           {rows, q_width},
           {wide, 1},
           {wide, 1},
           {logit_rows, hidden},
           {logit_rows, model.vocab_size},
           {routed, mixture.experts},
           {routed, 1},
           {routed, ChoicesOf(mixture)},
           {slots, gathered},
           {slots, hidden},
           {narrow, 1},
           {shape.partial_sums, 1},
           {shape.partial_weights, 1},
           {shape.positions, pairs},
           {shape.positions, pairs},
           {routed, ChoicesOf(mixture)},
           {model.mixture ? picked : 0, 1}}};
}

}  // namespace

int64_t ChoicesOf(const Mixture& mixture) {
  return mixture.active + (mixture.shared_width > 0 ? 1 : 0);
}

int64_t ExpertsOf(const Mixture& mixture) {
  return mixture.experts + (mixture.shared_width > 0 ? 1 : 0);
}

Bytes StepBufferBytes(const ModelConfig& model, const StepShape& shape) {
  Bytes bytes;
  for (const Piece& piece : PiecesOf(model, shape)) bytes += Bytes(piece.AlignedBytes());
  return bytes;
}

absl::StatusOr<StepBuffers> StepBuffersFor(const ModelConfig& model, const StepShape& shape,
                                           const DeviceBackend& device) {
  absl::StatusOr<DeviceSlab> slab = device.Allocate(StepBufferBytes(model, shape));
  if (!slab.ok()) return Annotate(slab.status(), "step buffers");
  StepBuffers buffers;
  std::byte* next = slab->data();
  const std::array<Piece, kPieces> pieces = PiecesOf(model, shape);
  const Piece* piece = pieces.data();
  const auto take = [&] { return std::exchange(next, next + piece++->AlignedBytes()); };
  for (float** each : {&buffers.x,
                       &buffers.normed,
                       &buffers.q,
                       &buffers.k,
                       &buffers.v,
                       &buffers.attended,
                       &buffers.gate,
                       &buffers.up,
                       &buffers.last,
                       &buffers.logits,
                       &buffers.router,
                       &buffers.shared,
                       &buffers.shares,
                       &buffers.gathered,
                       &buffers.mixed,
                       &buffers.narrow,
                       &buffers.partial_sums,
                       &buffers.partial_weights,
                       &buffers.cos,
                       &buffers.sin}) {
    *each = reinterpret_cast<float*>(take());
  }
  for (int32_t** each : {&buffers.chosen, &buffers.routed}) {
    *each = reinterpret_cast<int32_t*>(take());
  }
  if (device.ops().device == Device::kCpu) {  // a step meets no page for the first time
    std::memset(slab->data(), 0, static_cast<size_t>(slab->bytes().value()));
  }
  buffers.slab = *std::move(slab);
  return buffers;
}

}  // namespace plimsoll
