// The plan: one row and up to four query heads of one kv head are one piece of work. It goes
// through the visible positions 32 at a time with an online softmax: scores of the tile, the new
// peak, what was gathered so far scaled down to it, the tile's values added. Tiles begin at
// multiples of 32 whatever the block size, so blocks do not change the order of any sum.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "engine/ops/cpu_threads.h"
#include "engine/ops/token_slot.h"
#include "kvcache/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/attention_cpu.cc"
#include "hwy/foreach_target.h"  // before highway.h

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#include "engine/ops/vectors-inl.h"

#ifndef PLIMSOLL_ENGINE_OPS_ATTENTION_CPU_CC_
#define PLIMSOLL_ENGINE_OPS_ATTENTION_CPU_CC_
namespace plimsoll {

constexpr int64_t kTile = 32;
constexpr int64_t kHeadsAtOnce = 4;

// Query heads [head, head + heads) of one row, all of one kv head.
struct AttentionPiece {
  int64_t row;
  int64_t head;
  int64_t heads;
};

}  // namespace plimsoll
#endif

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {

// The K and V rows of the positions of one tile.
template <class T>
struct Tile {
  int64_t count = 0;
  const T* keys[kTile];
  const T* values[kTile];
};

// What the online softmax knows of one head so far.
struct SoftmaxState {
  float peak = -std::numeric_limits<float>::infinity();
  float total = 0;
};

template <class T>
Tile<T> TileOf(const PagedLayer& cache, const int32_t* table, int64_t kv_head, int64_t first,
               int64_t end) {
  Tile<T> tile;
  tile.count = end - first;
  for (int64_t t = 0; t < tile.count; ++t) {
    const std::byte* const key = KeySlot(cache, table, first + t, kv_head);
    tile.keys[t] = reinterpret_cast<const T*>(key);
    tile.values[t] = reinterpret_cast<const T*>(key + ValueOffset(cache));
  }
  return tile;
}

// scores[h][t] = scale * q[h] . key[t]
template <int64_t kHeads, class T>
void ScoreTile(const float* q, int64_t dim, float scale, const Tile<T>& tile,
               float (&scores)[kHeadsAtOnce][kTile]) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t t = 0; t < tile.count; ++t) {
    const T* const key = tile.keys[t];
    FloatVector sums[kHeads];
    for (int64_t h = 0; h < kHeads; ++h) sums[h] = hn::Zero(d);
    int64_t i = 0;
    for (; i + lanes <= dim; i += lanes) {
      const FloatVector k = LoadFloats(d, key + i);
      for (int64_t h = 0; h < kHeads; ++h) {
        sums[h] = hn::MulAdd(hn::LoadU(d, q + h * dim + i), k, sums[h]);
      }
    }
    if (i < dim) {
      const size_t left = static_cast<size_t>(dim - i);
      const FloatVector k = LoadTail(d, key + i, left);
      for (int64_t h = 0; h < kHeads; ++h) {
        sums[h] = hn::MulAdd(LoadTail(d, q + h * dim + i, left), k, sums[h]);
      }
    }
    for (int64_t h = 0; h < kHeads; ++h) scores[h][t] = scale * Sum(d, sums[h]);
  }
}

// Turns scores into e^(score - peak) under the new peak; returns what to scale older sums by.
float AdvanceSoftmax(float* scores, int64_t count, SoftmaxState& state) {
  const Floats d;
  const float peak = std::max(state.peak, *std::max_element(scores, scores + count));
  const float rescale = std::exp(state.peak - peak);
  const FloatVector peaks = hn::Set(d, peak);
  TransformFloats(scores, count, scores,
                  [&](FloatVector s, int64_t) HWY_ATTR { return hn::Exp(d, hn::Sub(s, peaks)); });
  float total = 0;
  for (int64_t t = 0; t < count; ++t) total += scores[t];
  state = {peak, state.total * rescale + total};
  return rescale;
}

// out[h] = rescale[h] * out[h] + sum over t of weight[h][t] * value[t]
template <int64_t kHeads, class T>
void GatherTile(const Tile<T>& tile, const float (&weights)[kHeadsAtOnce][kTile],
                const float (&rescale)[kHeadsAtOnce], int64_t dim, float* out) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto gather = [&](int64_t i, const auto& load, const auto& store) HWY_ATTR {
    FloatVector sums[kHeads];
    for (int64_t h = 0; h < kHeads; ++h) {
      sums[h] = hn::Mul(hn::Set(d, rescale[h]), load(out + h * dim + i));
    }
    for (int64_t t = 0; t < tile.count; ++t) {
      const FloatVector v = load(tile.values[t] + i);
      for (int64_t h = 0; h < kHeads; ++h) {
        sums[h] = hn::MulAdd(hn::Set(d, weights[h][t]), v, sums[h]);
      }
    }
    for (int64_t h = 0; h < kHeads; ++h) store(sums[h], out + h * dim + i);
  };
  int64_t i = 0;
  for (; i + lanes <= dim; i += lanes) {
    gather(
        i, [&](const auto* from) HWY_ATTR { return LoadFloats(d, from); },
        [&](FloatVector v, float* to) HWY_ATTR { hn::StoreU(v, d, to); });
  }
  if (i == dim) return;
  const size_t left = static_cast<size_t>(dim - i);
  gather(
      i, [&](const auto* from) HWY_ATTR { return LoadTail(d, from, left); },
      [&](FloatVector v, float* to) HWY_ATTR { StoreTail(d, v, to, left); });
}

template <int64_t kHeads, class T>
void AttendHeads(const AttentionArgs& args, const AttentionPiece& piece) {
  const PagedLayer& cache = args.cache;
  const int64_t dim = cache.layer.head_dim;
  const int64_t kv_head = piece.head / (args.heads / cache.layer.kv_heads);
  const RowPlace& place = args.places[piece.row];
  const int64_t at = (piece.row * args.heads + piece.head) * dim;
  float* const out = args.out + at;
  std::fill(out, out + kHeads * dim, 0.0f);

  SoftmaxState states[kHeads];
  float weights[kHeadsAtOnce][kTile];
  float rescale[kHeadsAtOnce];
  for (int64_t p = FirstVisible(place.position, args.window); p <= place.position;) {
    const int64_t end = std::min((p / kTile + 1) * kTile, place.position + 1);
    const Tile<T> tile = TileOf<T>(cache, place.table, kv_head, p, end);
    ScoreTile<kHeads>(args.q + at, dim, args.scale, tile, weights);
    for (int64_t h = 0; h < kHeads; ++h) {
      rescale[h] = AdvanceSoftmax(weights[h], tile.count, states[h]);
    }
    GatherTile<kHeads>(tile, weights, rescale, dim, out);
    p = end;
  }
  for (int64_t h = 0; h < kHeads; ++h) {
    const float inverse = 1.0f / states[h].total;
    for (int64_t i = 0; i < dim; ++i) out[h * dim + i] *= inverse;
  }
}

void AttendPiece(const AttentionArgs& args, const AttentionPiece& piece) {
  WithType(args.cache.type, args.cache.pool, [&](const auto* pool) HWY_ATTR {
    using T = std::remove_cv_t<std::remove_pointer_t<decltype(pool)>>;
    switch (piece.heads) {
      case 1:
        return AttendHeads<1, T>(args, piece);
      case 2:
        return AttendHeads<2, T>(args, piece);
      case 3:
        return AttendHeads<3, T>(args, piece);
      default:
        return AttendHeads<kHeadsAtOnce, T>(args, piece);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plimsoll::cpu {

HWY_EXPORT(AttendPiece);

absl::Status Attention(const AttentionArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const auto attend = HWY_DYNAMIC_DISPATCH(AttendPiece);
  const int64_t kv_heads = args.cache.layer.kv_heads;
  const int64_t group = args.heads / kv_heads;
  const int64_t parts = CeilDivide(group, kHeadsAtOnce);  // of one kv head's query heads
  const int64_t pieces_of_row = kv_heads * parts;
  CpuThreads().ParallelFor(args.rows * pieces_of_row, /*grain=*/1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      const int64_t kv_head = i % pieces_of_row / parts;
      const int64_t first = i % parts * kHeadsAtOnce;
      attend(args, {.row = i / pieces_of_row,
                    .head = kv_head * group + first,
                    .heads = std::min(kHeadsAtOnce, group - first)});
    }
  });
  return absl::OkStatus();
}

}  // namespace plimsoll::cpu
#endif
