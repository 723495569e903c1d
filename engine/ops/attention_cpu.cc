// The plan: one row and up to four query heads of one kv head are one piece of work. It goes
// through the visible positions 32 at a time with an online softmax: scores of the tile, the new
// peak, what was gathered so far scaled down to it, the tile's values added. Tiles begin at
// multiples of 32 whatever the block size, so blocks do not change the order of any sum. While the
// keys of a tile are multiplied, the rows of the next are fetched: blocks lie anywhere, and the
// machine's own prefetching starts anew with each.
//
// Rows with words (int8, int4) are multiplied as the numbers they hold; scale and zero are applied
// to scores and weights, once for a position and not for each of its dims.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "engine/ops/cpu_threads.h"
#include "engine/ops/token_slot.h"
#include "kvcache/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/attention_cpu.cc"
#include "hwy/foreach_target.h"  // before highway.h

#include "hwy/cache_control.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#include "engine/ops/kv_vectors-inl.h"

#ifndef PLIMSOLL_ENGINE_OPS_ATTENTION_CPU_CC_
#define PLIMSOLL_ENGINE_OPS_ATTENTION_CPU_CC_
namespace plimsoll {

constexpr int64_t kTile = 32;
constexpr int64_t kHeadsAtOnce = 4;
constexpr int64_t kLine = 64;  // bytes that a fetch brings

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

// The words of the K rows, or of the V rows, of one tile.
struct TileWords {
  uint16_t scale_bits[kTile];
  uint16_t zero_bits[kTile];
  HWY_ALIGN float scales[kTile];
  HWY_ALIGN float zeros[kTile];

  void Read(int64_t t, const std::byte* word) {
    std::memcpy(&scale_bits[t], word, sizeof(uint16_t));
    std::memcpy(&zero_bits[t], word + sizeof(uint16_t), sizeof(uint16_t));
  }
  void Widen(int64_t count) {
    const auto same = [](FloatVector v, int64_t) HWY_ATTR { return v; };
    TransformFloats(reinterpret_cast<const hwy::float16_t*>(scale_bits), count, scales, same);
    TransformFloats(reinterpret_cast<const hwy::float16_t*>(zero_bits), count, zeros, same);
  }
};

// The K and V rows of the positions of one tile, and their words where the type has them.
struct Tile {
  int64_t count = 0;
  int64_t row_bytes = 0;
  int64_t value_offset = 0;           // from a K row to its V row
  const std::byte* next_keys[kTile];  // of the next tile, as many as it has
  int64_t next_count = 0;
  const std::byte* keys[kTile];
  const std::byte* values[kTile];
  TileWords key_words = {};
  TileWords value_words = {};
};

// What the online softmax knows of one head so far.
struct SoftmaxState {
  float peak = -std::numeric_limits<float>::infinity();
  float total = 0;
};

template <class Row>
void ReadTile(const PagedLayer& cache, const int32_t* table, int64_t kv_head, int64_t first,
              int64_t end, int64_t last, Tile& tile) {
  tile.count = end - first;
  for (int64_t t = 0; t < tile.count; ++t) {
    tile.keys[t] = KeySlot(cache, table, first + t, kv_head);
    tile.values[t] = tile.keys[t] + ValueOffset(cache);
    if constexpr (Row::kHasWords) {
      const std::byte* const word = KeyWord(cache, table, first + t, kv_head);
      tile.key_words.Read(t, word);
      tile.value_words.Read(t, word + ValueWordOffset(cache));
    }
  }
  const int64_t next_end = std::min(end + kTile, last + 1);
  tile.row_bytes = cache.layer.row_bytes.value();
  tile.value_offset = ValueOffset(cache);
  tile.next_count = next_end - end;
  for (int64_t t = 0; t < tile.next_count; ++t) {
    tile.next_keys[t] = KeySlot(cache, table, end + t, kv_head);
  }
  if constexpr (Row::kHasWords) {
    tile.key_words.Widen(tile.count);
    tile.value_words.Widen(tile.count);
  }
}

// scores[h][t] = q[h] . numbers of key[t]
template <int64_t kHeads, class Row>
void MultiplyTile(const float* q, int64_t dim, const Tile& tile,
                  float (&scores)[kHeadsAtOnce][kTile]) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t t = 0; t < tile.count; ++t) {
    const std::byte* const key = tile.keys[t];
    if (t < tile.next_count) {
      for (int64_t i = 0; i < tile.row_bytes; i += kLine) {
        hwy::Prefetch(tile.next_keys[t] + i);
        hwy::Prefetch(tile.next_keys[t] + tile.value_offset + i);
      }
    }
    FloatVector sums[kHeads];
    for (int64_t h = 0; h < kHeads; ++h) sums[h] = hn::Zero(d);
    int64_t i = 0;
    for (; i + lanes <= dim; i += lanes) {
      const FloatVector k = LoadKv<Row>(d, key, i);
      for (int64_t h = 0; h < kHeads; ++h) {
        sums[h] = hn::MulAdd(hn::LoadU(d, q + h * dim + i), k, sums[h]);
      }
    }
    if (i < dim) {
      const size_t left = static_cast<size_t>(dim - i);
      const FloatVector k = LoadKvTail<Row>(d, key, i, left);
      for (int64_t h = 0; h < kHeads; ++h) {
        sums[h] = hn::MulAdd(LoadTail(d, q + h * dim + i, left), k, sums[h]);
      }
    }
    for (int64_t h = 0; h < kHeads; ++h) scores[h][t] = Sum(d, sums[h]);
  }
}

// Products become scores: q . (zero + scale * numbers) = zero * sum of q + scale * product, then
// the scale of the softmax and its cap.
template <class Row>
void ScoreTile(const AttentionArgs& args, const Tile& tile, float sum_of_q, float* scores) {
  const Floats d;
  const FloatVector scale = hn::Set(d, args.scale);
  TransformFloats(scores, tile.count, scores, [&](FloatVector s, int64_t t) HWY_ATTR {
    if constexpr (Row::kHasWords) {
      const FloatVector zero = hn::Load(d, tile.key_words.zeros + t);
      s = hn::MulAdd(hn::Load(d, tile.key_words.scales + t), s,
                     hn::Mul(zero, hn::Set(d, sum_of_q)));
    }
    return hn::Mul(scale, s);
  });
  if (args.softcap == 0) return;
  const FloatVector cap = hn::Set(d, args.softcap);
  TransformFloats(scores, tile.count, scores, [&](FloatVector s, int64_t) HWY_ATTR {
    return hn::Mul(cap, hn::Tanh(d, hn::Div(s, cap)));
  });
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

// Moves the words of V from its numbers to the weights; returns sum over t of weight[t] * zero[t].
float WeighWords(const TileWords& words, int64_t count, float* weights) {
  float sum = 0;
  for (int64_t t = 0; t < count; ++t) {
    sum += weights[t] * words.zeros[t];
    weights[t] *= words.scales[t];
  }
  return sum;
}

// out[h] = rescale[h] * out[h] + sum over t of weight[h][t] * numbers of value[t]
template <int64_t kHeads, class Row>
void GatherTile(const Tile& tile, const float (&weights)[kHeadsAtOnce][kTile],
                const float (&rescale)[kHeadsAtOnce], int64_t dim, float* out) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto gather = [&](int64_t i, const auto& load_out, const auto& load_value,
                          const auto& store) HWY_ATTR {
    FloatVector sums[kHeads];
    for (int64_t h = 0; h < kHeads; ++h) {
      sums[h] = hn::Mul(hn::Set(d, rescale[h]), load_out(out + h * dim + i));
    }
    for (int64_t t = 0; t < tile.count; ++t) {
      const FloatVector v = load_value(tile.values[t]);
      for (int64_t h = 0; h < kHeads; ++h) {
        sums[h] = hn::MulAdd(hn::Set(d, weights[h][t]), v, sums[h]);
      }
    }
    for (int64_t h = 0; h < kHeads; ++h) store(sums[h], out + h * dim + i);
  };
  int64_t i = 0;
  for (; i + lanes <= dim; i += lanes) {
    gather(
        i, [&](const float* from) HWY_ATTR { return hn::LoadU(d, from); },
        [&](const std::byte* value) HWY_ATTR { return LoadKv<Row>(d, value, i); },
        [&](FloatVector v, float* to) HWY_ATTR { hn::StoreU(v, d, to); });
  }
  if (i == dim) return;
  const size_t left = static_cast<size_t>(dim - i);
  gather(
      i, [&](const float* from) HWY_ATTR { return LoadTail(d, from, left); },
      [&](const std::byte* value) HWY_ATTR { return LoadKvTail<Row>(d, value, i, left); },
      [&](FloatVector v, float* to) HWY_ATTR { StoreTail(d, v, to, left); });
}

// A sink is a score that was there before any position, and to which nothing was added.
SoftmaxState StartOf(const AttentionArgs& args, int64_t head) {
  if (args.sinks == nullptr) return {};
  return {.peak = args.sinks[head], .total = 1};
}

template <int64_t kHeads, class Row>
void AttendHeads(const AttentionArgs& args, const AttentionPiece& piece) {
  const PagedLayer& cache = args.cache;
  const int64_t dim = cache.layer.head_dim;
  const int64_t kv_head = piece.head / (args.heads / cache.layer.kv_heads);
  const RowPlace& place = args.places[piece.row];
  const int64_t at = (piece.row * args.heads + piece.head) * dim;
  const float* const q = args.q + at;
  float* const out = args.out + at;
  std::fill(out, out + kHeads * dim, 0.0f);

  SoftmaxState states[kHeads];
  float sums_of_q[kHeads] = {};
  float zeros[kHeads] = {};  // what belongs to every dim of out
  for (int64_t h = 0; h < kHeads; ++h) {
    states[h] = StartOf(args, piece.head + h);
    if (Row::kHasWords) sums_of_q[h] = std::accumulate(q + h * dim, q + (h + 1) * dim, 0.0f);
  }
  Tile tile;
  float weights[kHeadsAtOnce][kTile];
  float rescale[kHeadsAtOnce];
  for (int64_t p = FirstVisible(place.position, args.window); p <= place.position;) {
    const int64_t end = std::min((p / kTile + 1) * kTile, place.position + 1);
    ReadTile<Row>(cache, place.table, kv_head, p, end, place.position, tile);
    MultiplyTile<kHeads, Row>(q, dim, tile, weights);
    for (int64_t h = 0; h < kHeads; ++h) {
      ScoreTile<Row>(args, tile, sums_of_q[h], weights[h]);
      rescale[h] = AdvanceSoftmax(weights[h], tile.count, states[h]);
      if (!Row::kHasWords) continue;
      zeros[h] = rescale[h] * zeros[h] + WeighWords(tile.value_words, tile.count, weights[h]);
    }
    GatherTile<kHeads, Row>(tile, weights, rescale, dim, out);
    p = end;
  }
  for (int64_t h = 0; h < kHeads; ++h) {
    const float inverse = 1.0f / states[h].total;
    for (int64_t i = h * dim; i < (h + 1) * dim; ++i) out[i] = (out[i] + zeros[h]) * inverse;
  }
}

void AttendPiece(const AttentionArgs& args, const AttentionPiece& piece) {
  WithRowOf(args.cache.type, [&](auto row) HWY_ATTR {
    using Row = decltype(row);
    switch (piece.heads) {
      case 1:
        return AttendHeads<1, Row>(args, piece);
      case 2:
        return AttendHeads<2, Row>(args, piece);
      case 3:
        return AttendHeads<3, Row>(args, piece);
      default:
        return AttendHeads<kHeadsAtOnce, Row>(args, piece);
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
