#include "engine/decoder/step_buffers.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kAlignment = 64;  // bytes
constexpr int64_t kElementBytes = 4;
static_assert(sizeof(float) == kElementBytes && sizeof(int32_t) == kElementBytes);

struct Piece {
  int64_t rows, cols;

  int64_t AlignedBytes() const {
    return CeilDivide(rows * cols * kElementBytes, kAlignment) * kAlignment;
  }
};

// In the order of StepBuffers.
std::array<Piece, 12> PiecesOf(const ModelConfig& model, int64_t rows, int64_t logit_rows) {
  int64_t q_width = 0;
  int64_t kv_width = 0;
  for (const AttentionSpec& layer : model.attention) {
    q_width = std::max(q_width, layer.heads * layer.head_dim);
    kv_width = std::max(kv_width, layer.kv_heads * layer.head_dim);
  }
  const int64_t hidden = model.hidden_size;
  const int64_t wide = model.intermediate_size;
  return {{{rows, hidden},
           {rows, hidden},
           {rows, q_width},
           {rows, kv_width},
           {rows, kv_width},
           {rows, q_width},
           {rows, wide},
           {rows, wide},
           {logit_rows, hidden},
           {logit_rows, model.vocab_size},
           {rows, 1},
           {logit_rows, 1}}};
}

}  // namespace

Bytes StepBufferBytes(const ModelConfig& model, int64_t rows, int64_t logit_rows) {
  Bytes bytes;
  for (const Piece& piece : PiecesOf(model, rows, logit_rows)) bytes += Bytes(piece.AlignedBytes());
  return bytes;
}

absl::StatusOr<StepBuffers> StepBuffersFor(const ModelConfig& model, int64_t rows,
                                           int64_t logit_rows) {
  absl::StatusOr<Slab> slab = Slab::Create(StepBufferBytes(model, rows, logit_rows));
  if (!slab.ok()) return Annotate(slab.status(), "step buffers");
  StepBuffers buffers;
  std::byte* next = slab->data();
  const std::array<Piece, 12> pieces = PiecesOf(model, rows, logit_rows);
  const Piece* piece = pieces.data();
  const auto take = [&] { return std::exchange(next, next + piece++->AlignedBytes()); };
  for (float** each :
       {&buffers.x, &buffers.normed, &buffers.q, &buffers.k, &buffers.v, &buffers.attended,
        &buffers.gate, &buffers.up, &buffers.last, &buffers.logits}) {
    *each = reinterpret_cast<float*>(take());
  }
  for (int32_t** each : {&buffers.ids, &buffers.picked}) {
    *each = reinterpret_cast<int32_t*>(take());
  }
  buffers.slab = *std::move(slab);
  return buffers;
}

}  // namespace plimsoll
