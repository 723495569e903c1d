// Attention of many rows of one prompt: a block of threads takes as many columns, pairs of a row
// and a head that share the KV head, as its four warps have registers for, and brings each tile of
// K and V to shared memory once for all of them. (attention_cuda.cuh reads K and V once for 8
// columns, which a single row of a few heads fills; a chunk of 512 rows would read them hundreds of
// times.)
//
// Each warp owns its columns and walks all positions, so warps need not be combined. Tiles come in
// two buffers: while one is computed with, the next is under way. What a warp does with a tile is
// attention_warp_cuda.cuh's; only where operands are loaded from differs.
//
// Rows of a buffer are as long as leaves no two lanes of a load in one bank: lanes (g, t) read
// chunk t of row g of K, and chunk g of row 2t of V.
//
// Threads: four warps, which meet at each tile. Cost: bound by the tensor cores' products and, of
// few rows, by reading K and V. Errors: none.
#pragma once

#include "engine/ops/attention_cuda.cuh"

namespace plimsoll::cuda {

// One buffer: rows of K, rows of V, then the words of both.
template <PlimsollCudaType kType, int kDim, int kTiles>
struct ChunkBuffer {
  using Shape = AttentionShape<kType, kDim, kTiles>;
  static constexpr int kTokens = ChunkTileTokens(kDim);
  static constexpr int kCopyBytes = Shape::kRowBytes % 16 == 0 ? 16 : 8;
  static constexpr int kCopies = Shape::kRowBytes / kCopyBytes;  // of a row

  // The least stride from `bytes` on that leaves `rest` beyond a multiple of `banks` bytes.
  static constexpr int Stride(int banks, int rest) {
    int bytes = Shape::kRowBytes;
    while (bytes % banks != rest) bytes += 8;
    return bytes;
  }
  static constexpr int kKeyStride = Stride(Shape::kKeyWords == 4 ? 128 : 64, 16 * Shape::kKeyWords);
  static constexpr int kValueStride = Stride(64, 16);
  static constexpr int kValues = kTokens * kKeyStride;
  static constexpr int kWords = kValues + kTokens * kValueStride;
  static constexpr int kBytes = kWords + (Shape::Storage::kScaled ? 2 * 4 * kTokens : 0);
  static_assert(kBytes % 16 == 0 && kValues % 16 == 0 && kWords % 16 == 0);
};

template <PlimsollCudaType kType, int kDim, int kTiles>
constexpr int ChunkSharedBytes() {
  constexpr int kColumns = 8 * kTiles * kAttentionWarps;
  constexpr int kTiled = 2 * ChunkBuffer<kType, kDim, kTiles>::kBytes;
  constexpr int kSums = kColumns * (kDim + 2) * static_cast<int>(sizeof(float));
  return kTiled > kSums ? kTiled : kSums;
}

SIMT_DEVICE void TakeWords(bool there, const unsigned char* from, uint32_t (&to)[4]) {
  const uint4 words = there ? *reinterpret_cast<const uint4*>(from) : uint4{0, 0, 0, 0};
  to[0] = words.x;
  to[1] = words.y;
  to[2] = words.z;
  to[3] = words.w;
}

SIMT_DEVICE void TakeWords(bool there, const unsigned char* from, uint32_t (&to)[2]) {
  const uint2 words = there ? *reinterpret_cast<const uint2*>(from) : uint2{0, 0};
  to[0] = words.x;
  to[1] = words.y;
}

SIMT_DEVICE void TakeWords(bool there, const unsigned char* from, uint32_t (&to)[1]) {
  to[0] = there ? *reinterpret_cast<const uint32_t*>(from) : 0;
}

template <PlimsollCudaType kType, int kDim, int kTiles>
struct ChunkWarp : AttentionWarp<kType, kDim, kTiles> {
  using Warp = AttentionWarp<kType, kDim, kTiles>;
  using Shape = AttentionShape<kType, kDim, kTiles>;
  using Buffer = ChunkBuffer<kType, kDim, kTiles>;
  using typename Shape::Storage;

  int seen_from;  // by any of the warp's columns
  int seen_to;

  SIMT_DEVICE void Begin(const AttentionParameters& p, const AttentionItem& item) {
    Warp::Begin(p, item, simt::ThreadX() / 32 * Shape::kColumns);
    // Rows follow each other, so the first sees the least far and the last the farthest.
    const int first_row = this->first_column / p.pass_heads;
    const int end_row = (this->first_column + Shape::kColumns - 1) / p.pass_heads;
    const int last_row = end_row < item.rows ? end_row : item.rows - 1;
    if (first_row > last_row) {
      seen_from = seen_to = -1;
      return;
    }
    const int64_t lowest = p.places[item.row + first_row].position;
    seen_from = lowest < p.window ? 0 : static_cast<int>(lowest - p.window + 1);
    seen_to = static_cast<int>(p.places[item.row + last_row].position);
  }

  // All threads of the block: asks for the tile at `position`.
  SIMT_DEVICE void Fetch(const AttentionParameters& p, int tile, unsigned char* to) const {
    for (int i = simt::ThreadX(); i < Buffer::kTokens * Buffer::kCopies;
         i += 32 * kAttentionWarps) {
      const int slot = i / Buffer::kCopies;
      const int at = i % Buffer::kCopies * Buffer::kCopyBytes;
      const int position = tile + slot;
      const bool wanted = this->Reads(position);
      const unsigned char* from = p.layer;
      if (wanted) {
        from = this->BlockOf(p, position) + (position & this->slot_mask) * Shape::kRowBytes + at;
      }
      simt::CopyAsync<Buffer::kCopyBytes>(wanted, to + slot * Buffer::kKeyStride + at, from);
      simt::CopyAsync<Buffer::kCopyBytes>(wanted,
                                          to + Buffer::kValues + slot * Buffer::kValueStride + at,
                                          wanted ? from + p.kv_bytes : from);
    }
    if constexpr (Storage::kScaled) FetchWords(p, tile, to + Buffer::kWords);
  }

  // The words of K, then those of V.
  SIMT_DEVICE void FetchWords(const AttentionParameters& p, int tile, unsigned char* to) const {
    const int i = simt::ThreadX();
    if (i >= 2 * Buffer::kTokens) return;
    const int position = tile + i % Buffer::kTokens;
    const bool wanted = this->Reads(position);
    const unsigned char* from = p.layer;
    if (wanted) {
      from = this->WordsOf(p, this->BlockOf(p, position)) + 4 * (position & this->slot_mask);
      if (i >= Buffer::kTokens) from += int64_t{4} << p.block_shift;
    }
    simt::CopyAsync<4>(wanted, to + 4 * i, from);
  }

  // Operands of the 16 positions from `slot` of a buffer on.
  SIMT_DEVICE void TakeKeys(const unsigned char* buffer, int slot) {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const unsigned char* const row =
          buffer + (slot + this->g + 8 * n) * Buffer::kKeyStride + this->t * 4 * Shape::kKeyWords;
#pragma unroll
      for (int i = 0; i < Shape::kKeyLoads; ++i) {
        const bool there = this->t + 4 * i < Shape::kKeyChunks;
        TakeWords(there, row + i * 16 * Shape::kKeyWords, this->keys[n][i]);
      }
    }
  }

  SIMT_DEVICE void TakeValues(const unsigned char* buffer, int slot) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int position = slot + 2 * this->t + n % 2 + n / 2 * 8;
      const unsigned char* const row = buffer + Buffer::kValues + position * Buffer::kValueStride +
                                       this->g * 4 * Shape::kValueWords;
#pragma unroll
      for (int i = 0; i < Shape::kValueLoads; ++i) {
        const bool there = this->g + 8 * i < Shape::kValueChunks;
        TakeWords(there, row + i * 32 * Shape::kValueWords, this->values[n][i]);
      }
    }
  }

  SIMT_DEVICE void TakeScales(const unsigned char* buffer, int slot) {
    const auto* const words = reinterpret_cast<const uint32_t*>(buffer + Buffer::kWords);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      this->key_words[n] = words[slot + this->g + 8 * n];
      this->value_words[n] = words[Buffer::kTokens + slot + this->g + 8 * n];
    }
  }

  SIMT_DEVICE void Compute(const AttentionParameters& p, int tile, const unsigned char* buffer,
                           int slot) {
    TakeKeys(buffer, slot);
    if constexpr (Storage::kScaled) TakeScales(buffer, slot);
    float score[kTiles][4];
    this->MultiplyKeys(score);
    TakeValues(buffer, slot);
    uint32_t operand[kTiles][2];
#pragma unroll
    for (int h = 0; h < kTiles; ++h) this->Weigh(p, tile, h, score[h], operand[h]);
    this->AddValues(operand);
  }

  SIMT_DEVICE bool Sees(int tile) const {
    return tile <= seen_to && tile + kTileTokens > seen_from && tile < this->end;
  }

  SIMT_DEVICE void Attend(const AttentionParameters& p, unsigned char* shared) {
    int tile = this->begin / kTileTokens * kTileTokens;
    Fetch(p, tile, shared);
    simt::EndCopies();
    for (int turn = 0; tile < this->end; tile += Buffer::kTokens, ++turn) {
      if (tile + Buffer::kTokens < this->end) {
        Fetch(p, tile + Buffer::kTokens, shared + (turn + 1) % 2 * Buffer::kBytes);
      }
      simt::EndCopies();
      simt::AwaitCopies<1>();
      simt::Synchronize();
      const unsigned char* const buffer = shared + turn % 2 * Buffer::kBytes;
#pragma unroll 1
      for (int slot = 0; slot < Buffer::kTokens; slot += kTileTokens) {
        if (Sees(tile + slot)) Compute(p, tile + slot, buffer, slot);
      }
      simt::Synchronize();  // before the buffer is filled again
    }
  }
};

template <PlimsollCudaType kType, int kDim, int kTiles>
SIMT_KERNEL(32 * kAttentionWarps, kChunkBlocksPerMultiprocessor)
ChunkAttention(const AttentionParameters p) {
  constexpr int kColumns = 8 * kTiles * kAttentionWarps;
  const AttentionItem item = p.items[simt::BlockX()];
  if (item.rows == 0) return;
  ChunkWarp<kType, kDim, kTiles> warp;
  warp.Begin(p, item);
  warp.Attend(p, simt::SharedMemory<unsigned char>());
  float* const sums = simt::SharedMemory<float>();
  float* const weights = sums + kColumns * kDim;
  warp.Store(weights + 2 * warp.first_column, sums + warp.first_column * kDim);
  simt::Synchronize();
  for (int i = simt::ThreadX(); i < kColumns * kDim; i += 32 * kAttentionWarps) {
    StoreColumn<kDim, kColumns, 1>(p, item, weights, sums, i);
  }
}

}  // namespace plimsoll::cuda
