// What a warp of attention is made of: the sizes of its operands, its columns, its loads and the
// score as an exponent. How they go together is said in attention_warp_cuda.cuh.
//
// Threads: each lane for itself. Cost: a few instructions. Errors: none.
#pragma once

#include "engine/ops/attention_types_cuda.cuh"
#include "engine/ops/kv_storage_cuda.cuh"

namespace plimsoll::cuda {

// Sizes that follow from type and width.
template <PlimsollCudaType kType, int kDim, int kTiles>
struct AttentionShape {
  using Storage = KvStorage<kType>;
  using Multiply = typename Storage::Multiply;
  static constexpr int kPairs = Storage::kPairs;
  static constexpr int kColumns = 8 * kTiles;

  static constexpr int kRowBytes = kDim * Storage::kBits / 8;
  static constexpr int kWordElements = 32 / Storage::kBits;

  // Chunks as large as leave none of the four, respectively eight, lanes of a row without one.
  static constexpr int kKeyWords = kRowBytes >= 64 ? 4 : 2;  // of a chunk
  static constexpr int kKeyChunks = kRowBytes / (4 * kKeyWords);
  static constexpr int kKeyLoads = (kKeyChunks + 3) / 4;  // of a lane, for one position
  static constexpr int kValueWords = kRowBytes >= 128 ? 4 : kRowBytes >= 64 ? 2 : 1;
  static constexpr int kValueChunks = kRowBytes / (4 * kValueWords);
  static constexpr int kValueLoads = (kValueChunks + 7) / 8;

  static constexpr int kLoadSteps = kKeyWords * kPairs / 2;  // of 16 dims, in one load of K
  static constexpr int kSteps = kKeyLoads * kLoadSteps;
  static constexpr int kSums = kValueLoads * kValueWords * kPairs;  // pieces of 16 dims

  // Whether there are registers to load K of the next tile while this one is computed.
  static constexpr bool kAhead = kDim <= 128;

  static_assert(kRowBytes % (4 * kKeyWords) == 0 && kRowBytes % (4 * kValueWords) == 0);

  // The dim of element `half` of pair `pair` of word `word` of a chunk of `words` words.
  static SIMT_DEVICE constexpr int DimOf(int chunk, int words, int word, int pair, int half) {
    return (chunk * words + word) * kWordElements + Storage::Element(pair, half);
  }
};

// Columns run over an item's rows and, within a row, over the heads of this pass.
struct AttentionColumn {
  int row;
  int head;  // -1: the column is not used
};

SIMT_DEVICE AttentionColumn ColumnOf(const AttentionParameters& p, const AttentionItem& item,
                                     int column) {
  const int row = column / p.pass_heads;
  const int in_group = simt::BlockZ() * p.pass_heads + column % p.pass_heads;
  const bool used = row < item.rows && in_group < p.group;
  return {item.row + row, used ? simt::BlockY() * p.group + in_group : -1};
}

SIMT_DEVICE void LoadWords(bool wanted, const unsigned char* from, uint32_t (&to)[4]) {
  const uint4 words = simt::Load16If(wanted, from);
  to[0] = words.x;
  to[1] = words.y;
  to[2] = words.z;
  to[3] = words.w;
}

SIMT_DEVICE void LoadWords(bool wanted, const unsigned char* from, uint32_t (&to)[2]) {
  const uint2 words = simt::Load8If(wanted, from);
  to[0] = words.x;
  to[1] = words.y;
}

SIMT_DEVICE void LoadWords(bool wanted, const unsigned char* from, uint32_t (&to)[1]) {
  to[0] = simt::Load4If(wanted, from);
}

// softcap * tanh(score / softcap), and as it is without a cap; both as an exponent of two.
SIMT_DEVICE float ExponentOf(const AttentionParameters& p, float score) {
  if (p.softcap_log2 == 0) return score * p.scale_log2;
  return p.softcap_log2 * (1 - 2 / (1 + simt::PowerOfTwo(score * p.softcap_rate)));
}

}  // namespace plimsoll::cuda
