// What one warp of paged attention does, on tensor cores from memory to sums without shared memory.
//
// A warp takes 16 positions at a time (a tile). Its columns, 8 times kTiles, are pairs of a row and
// a head that share the KV head. With K [16 positions, dims] as the left operand and the queries
// [dims, columns] as the right one, MultiplyAdd gives scores [16 positions, columns]; with
// V^T [dims, 16 positions] as the left and the weights [16 positions, columns] as the right one, it
// gives sums [dims, columns]. So however many heads share K and V, those are read once and as they
// lie, each lane loading whole chunks of rows straight into its operands:
//
//   K: lane (g, t) loads chunks t, t + 4, ... of positions g and g + 8. Which dims meet in a step
//   does
//      not matter to a dot product, as long as the queries are held in the same order.
//   V: lane (g, t) loads chunks g, g + 8, ... of positions 2t, 2t + 1, 2t + 8 and 2t + 9, and pairs
//   up
//      the same element of neighbouring positions.
//
// A score stands in the lane whose position and two columns it belongs to, so do the running
// maximum and sums of those columns; Transpose brings the weights into the order of a right
// operand. Exponents are of two. Weights of values are rounded to 16 bits, their own sum is not.
//
// Positions outside of [begin, end) are loaded as zeros: 0 times what a recycled block holds may be
// NaN.
//
// Threads: one warp. Cost: bound by reading K and V. Errors: none.
#pragma once

#include "engine/ops/attention_pieces_cuda.cuh"

namespace plimsoll::cuda {

template <PlimsollCudaType kType, int kDim, int kTiles>
struct AttentionWarp : AttentionShape<kType, kDim, kTiles> {
  using Shape = AttentionShape<kType, kDim, kTiles>;
  using Shape::kPairs;
  using typename Shape::Multiply;
  using typename Shape::Storage;

  // Lane and work.
  int g;
  int t;
  int begin;
  int end;
  const int32_t* table;
  const unsigned char* head;  // K of the KV head in block 0
  int slot_mask;
  int first_column;  // of the block of threads' columns

  // By the lane's two columns of each tile, 2t and 2t + 1: the positions they see, and softmax so
  // far.
  int first[kTiles][2];
  int last[kTiles][2];
  float query_sum[kTiles][2];
  float peak[kTiles][2];
  float weight[kTiles][2];
  float zeros[kTiles][2];  // weights times zeros of V, which every dim gets

  uint32_t query[kTiles][Shape::kSteps][2];
  float sum[kTiles][Shape::kSums][4];
  uint32_t keys[2][Shape::kKeyLoads][Shape::kKeyWords];
  uint32_t values[4][Shape::kValueLoads][Shape::kValueWords];
  uint32_t key_words[2];  // scale and zero of positions g and g + 8
  uint32_t value_words[2];

  SIMT_DEVICE void Begin(const AttentionParameters& p, const AttentionItem& item, int its_first) {
    first_column = its_first;
    const int lane = simt::ThreadX() % 32;
    g = lane / 4;
    t = lane % 4;
    begin = item.begin;
    end = item.end;
    table = p.places[item.row].table;
    head = p.layer + simt::BlockY() * p.head_bytes;
    slot_mask = (1 << p.block_shift) - 1;
#pragma unroll
    for (int h = 0; h < kTiles; ++h) {
      LoadQuery(p, item, h);
#pragma unroll
      for (int c = 0; c < 2; ++c) BeginColumn(p, item, h, c);
#pragma unroll
      for (int i = 0; i < Shape::kSums; ++i) {
        sum[h][i][0] = sum[h][i][1] = sum[h][i][2] = sum[h][i][3] = 0;
      }
    }
  }

  SIMT_DEVICE void BeginColumn(const AttentionParameters& p, const AttentionItem& item, int h,
                               int c) {
    peak[h][c] = -INFINITY;
    weight[h][c] = zeros[h][c] = 0;
    const AttentionColumn column = ColumnOf(p, item, first_column + 8 * h + 2 * t + c);
    first[h][c] = last[h][c] = -1;
    if (column.head < 0) return;
    const int64_t position = p.places[column.row].position;
    last[h][c] = static_cast<int>(position);
    first[h][c] = position < p.window ? 0 : static_cast<int>(position - p.window + 1);
  }

  // Column g as a right operand, in the order of dims in which K is loaded.
  SIMT_DEVICE void LoadQuery(const AttentionParameters& p, const AttentionItem& item, int h) {
    const AttentionColumn column = ColumnOf(p, item, first_column + 8 * h + g);
    const float* const q = p.q + (static_cast<int64_t>(column.row) * p.heads + column.head) * kDim;
    float total = 0;
#pragma unroll
    for (int i = 0; i < Shape::kKeyLoads; ++i) {
#pragma unroll
      for (int pair = 0; pair < Shape::kKeyWords * kPairs; ++pair) {
        const int chunk = t + 4 * i;
        const int word = pair / kPairs;
        const bool used = column.head >= 0 && chunk < Shape::kKeyChunks;
        const float low =
            used ? q[Shape::DimOf(chunk, Shape::kKeyWords, word, pair % kPairs, 0)] : 0;
        const float high =
            used ? q[Shape::DimOf(chunk, Shape::kKeyWords, word, pair % kPairs, 1)] : 0;
        const uint32_t packed = PackPair<Multiply>(low, high);
        query[h][i * Shape::kLoadSteps + pair / 2][pair % 2] = packed;
        const float2 rounded = UnpackPair<Multiply>(packed);
        total += rounded.x + rounded.y;
      }
    }
    if constexpr (Storage::kScaled) SumQuery(h, total);
  }

  // From this lane's part of the sum over dims of column g to whole sums of columns 2t and 2t + 1.
  SIMT_DEVICE void SumQuery(int h, float part) {
    part += simt::ShuffleXor(part, 1);
    part += simt::ShuffleXor(part, 2);
    query_sum[h][0] = simt::ShuffleFrom(part, 8 * t);
    query_sum[h][1] = simt::ShuffleFrom(part, 8 * t + 4);
  }

  SIMT_DEVICE bool Reads(int position) const { return position >= begin && position < end; }

  // K of the block that holds the tile at `position`.
  SIMT_DEVICE const unsigned char* BlockOf(const AttentionParameters& p, int position) const {
    return head + table[position >> p.block_shift] * p.block_bytes;
  }

  SIMT_DEVICE void LoadKeys(int tile, const unsigned char* block) {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const int position = tile + g + 8 * n;
      const unsigned char* const row =
          block + (position & slot_mask) * Shape::kRowBytes + t * 4 * Shape::kKeyWords;
#pragma unroll
      for (int i = 0; i < Shape::kKeyLoads; ++i) {
        const bool wanted = Reads(position) && t + 4 * i < Shape::kKeyChunks;
        LoadWords(wanted, row + i * 16 * Shape::kKeyWords, keys[n][i]);
      }
    }
  }

  SIMT_DEVICE void LoadValues(const AttentionParameters& p, int tile, const unsigned char* block) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int position = tile + 2 * t + n % 2 + n / 2 * 8;
      const unsigned char* const row = block + p.kv_bytes +
                                       (position & slot_mask) * Shape::kRowBytes +
                                       g * 4 * Shape::kValueWords;
#pragma unroll
      for (int i = 0; i < Shape::kValueLoads; ++i) {
        const bool wanted = Reads(position) && g + 8 * i < Shape::kValueChunks;
        LoadWords(wanted, row + i * 32 * Shape::kValueWords, values[n][i]);
      }
    }
  }

  // `block` is K of the KV head; the words of all heads lie together behind the layer.
  SIMT_DEVICE static const unsigned char* WordsOf(const AttentionParameters& p,
                                                  const unsigned char* block) {
    return block - simt::BlockY() * p.head_bytes + p.scales +
           (int64_t{8} * simt::BlockY() << p.block_shift);
  }

  SIMT_DEVICE void LoadScales(const AttentionParameters& p, int tile, const unsigned char* block) {
    const unsigned char* const words = WordsOf(p, block);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const int position = tile + g + 8 * n;
      const unsigned char* const word = words + 4 * (position & slot_mask);
      key_words[n] = simt::Load4If(Reads(position), word);
      value_words[n] = simt::Load4If(Reads(position), word + (4 << p.block_shift));
    }
  }

  // score[h] = fragment of K q: positions g (elements 0, 1) and g + 8 (2, 3), columns 2t, 2t + 1.
  SIMT_DEVICE void MultiplyKeys(float (&score)[kTiles][4]) {
#pragma unroll
    for (int h = 0; h < kTiles; ++h) score[h][0] = score[h][1] = score[h][2] = score[h][3] = 0;
#pragma unroll
    for (int i = 0; i < Shape::kKeyLoads; ++i) {
      uint32_t pairs[2][Shape::kKeyWords][kPairs];
#pragma unroll
      for (int w = 0; w < Shape::kKeyWords; ++w) {
        Storage::Unpack(keys[0][i][w], pairs[0][w]);
        Storage::Unpack(keys[1][i][w], pairs[1][w]);
      }
#pragma unroll
      for (int k = 0; k < Shape::kLoadSteps; ++k) {
        const int even = 2 * k;
        const int odd = 2 * k + 1;
        const uint32_t a[4] = {
            pairs[0][even / kPairs][even % kPairs], pairs[1][even / kPairs][even % kPairs],
            pairs[0][odd / kPairs][odd % kPairs], pairs[1][odd / kPairs][odd % kPairs]};
#pragma unroll
        for (int h = 0; h < kTiles; ++h) {
          simt::MultiplyAdd<Multiply>(score[h], a, query[h][i * Shape::kLoadSteps + k]);
        }
      }
    }
  }

  // Turns the scores of one tile into weights, rescales what was summed up where the largest score
  // grew, and gives the weights as a right operand.
  SIMT_DEVICE void Weigh(const AttentionParameters& p, int tile, int h, const float (&score)[4],
                         uint32_t (&operand)[2]) {
    float scaled[2][2];  // weight times scale of V, by position and column
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      float x[2];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int position = tile + g + 8 * n;
        float dot = score[c + 2 * n] * Storage::kFactor;
        if constexpr (Storage::kScaled) {
          const ScaleZero key = ScaleZeroOf<Storage>(key_words[n]);
          dot = dot * key.scale + query_sum[h][c] * key.zero;
        }
        const bool seen = position >= first[h][c] && position <= last[h][c] && Reads(position);
        x[n] = seen ? ExponentOf(p, dot) : -INFINITY;
      }
      const float shift = RaisePeak(h, c, fmaxf(x[0], x[1]));
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const float w = simt::PowerOfTwo(x[n] - shift);
        weight[h][c] += w;
        scaled[n][c] = w;
        if constexpr (Storage::kScaled) {
          const ScaleZero value = ScaleZeroOf<Storage>(value_words[n]);
          scaled[n][c] = w * (value.scale * Storage::kLift);
          zeros[h][c] += w * value.zero;
        }
      }
    }
    operand[0] = simt::Transpose(PackPair<Multiply>(scaled[0][0], scaled[0][1]));
    operand[1] = simt::Transpose(PackPair<Multiply>(scaled[1][0], scaled[1][1]));
  }

  // Takes this tile's largest exponent of a column into its peak. Returns what to subtract from an
  // exponent: the peak, or 0 while nothing was seen, so that no infinity is subtracted from
  // another.
  SIMT_DEVICE float RaisePeak(int h, int c, float largest) {
    largest = fmaxf(largest, simt::ShuffleXor(largest, 4));
    largest = fmaxf(largest, simt::ShuffleXor(largest, 8));
    largest = fmaxf(largest, simt::ShuffleXor(largest, 16));
    const float before = peak[h][c];
    const float after = fmaxf(before, largest);
    const float shift = after == -INFINITY ? 0 : after;
    const float kept = simt::PowerOfTwo(before - shift);
    peak[h][c] = after;
    weight[h][c] *= kept;
    zeros[h][c] *= kept;
#pragma unroll
    for (int i = 0; i < Shape::kSums; ++i) {
      sum[h][i][c] *= kept;
      sum[h][i][c + 2] *= kept;
    }
    return shift;
  }

  SIMT_DEVICE void AddValues(const uint32_t (&operand)[kTiles][2]) {
#pragma unroll
    for (int i = 0; i < Shape::kValueLoads; ++i) {
#pragma unroll
      for (int w = 0; w < Shape::kValueWords; ++w) {
        uint32_t pairs[4][kPairs];
#pragma unroll
        for (int n = 0; n < 4; ++n) Storage::Unpack(values[n][i][w], pairs[n]);
#pragma unroll
        for (int x = 0; x < kPairs; ++x) {
          const uint32_t a[4] = {simt::PermuteBytes(pairs[0][x], pairs[1][x], 0x5410),
                                 simt::PermuteBytes(pairs[0][x], pairs[1][x], 0x7632),
                                 simt::PermuteBytes(pairs[2][x], pairs[3][x], 0x5410),
                                 simt::PermuteBytes(pairs[2][x], pairs[3][x], 0x7632)};
#pragma unroll
          for (int h = 0; h < kTiles; ++h) {
            simt::MultiplyAdd<Multiply>(sum[h][(i * Shape::kValueWords + w) * kPairs + x], a,
                                        operand[h]);
          }
        }
      }
    }
  }

  // Every fourth tile from this warp's own. Loads are issued well before what they bring is used.
  SIMT_DEVICE void Attend(const AttentionParameters& p) {
    constexpr int kStride = kAttentionWarps * kTileTokens;
    int tile = begin / kTileTokens * kTileTokens + simt::ThreadX() / 32 * kTileTokens;
    if (tile >= end) return;
    const unsigned char* block = BlockOf(p, tile);
    const unsigned char* next = tile + kStride < end ? BlockOf(p, tile + kStride) : block;
    if constexpr (Shape::kAhead) LoadKeys(tile, block);
    for (; tile < end; tile += kStride) {
      if constexpr (!Shape::kAhead) LoadKeys(tile, block);
      if constexpr (Shape::kAhead) LoadValues(p, tile, block);
      if constexpr (Storage::kScaled) LoadScales(p, tile, block);
      float score[kTiles][4];
      MultiplyKeys(score);
      if constexpr (!Shape::kAhead) LoadValues(p, tile, block);
      block = next;
      if constexpr (Shape::kAhead) {
        if (tile + kStride < end) LoadKeys(tile + kStride, block);
      }
      if (tile + 2 * kStride < end) next = BlockOf(p, tile + 2 * kStride);
      uint32_t operand[kTiles][2];
#pragma unroll
      for (int h = 0; h < kTiles; ++h) Weigh(p, tile, h, score[h], operand[h]);
      AddValues(operand);
    }
  }

  // Writes peaks, weights and sums of this warp: weights[column] = {peak, weight} and
  // sums[column][dim], for all columns.
  SIMT_DEVICE void Store(float* weights, float* sums) {
#pragma unroll
    for (int h = 0; h < kTiles; ++h) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int column = 8 * h + 2 * t + c;
        const float total = SumOverPositions(weight[h][c]);
        const float zero = Storage::kScaled ? SumOverPositions(zeros[h][c]) : 0;
        if (g == 0) {
          weights[2 * column] = peak[h][c];
          weights[2 * column + 1] = total;
        }
        StoreSums(h, c, zero, sums + column * kDim);
      }
    }
  }

  SIMT_DEVICE float SumOverPositions(float part) {
    part += simt::ShuffleXor(part, 4);
    part += simt::ShuffleXor(part, 8);
    return part + simt::ShuffleXor(part, 16);
  }

  SIMT_DEVICE void StoreSums(int h, int c, float zero, float* to) {
#pragma unroll
    for (int i = 0; i < Shape::kSums; ++i) {
      const int word = i / kPairs % Shape::kValueWords;
      const int chunk = g + 8 * (i / kPairs / Shape::kValueWords);
      if (chunk >= Shape::kValueChunks) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        to[Shape::DimOf(chunk, Shape::kValueWords, word, i % kPairs, half)] =
            sum[h][i][c + 2 * half] * (Storage::kFactor / Storage::kLift) + zero;
      }
    }
  }
};

}  // namespace plimsoll::cuda
