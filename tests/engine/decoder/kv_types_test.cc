// What each way of storing K and V costs in the answers of a model: the table of
// engine/decoder/README.md.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/ops/float16.h"
#include "engine/ops/kv_row.h"
#include "engine/ops/token_slot.h"
#include "tests/engine/support/tiny_model.h"

namespace plimsoll {
namespace {

struct KvType {
  ElementType type;
  double from_bf16;  // at most so far are logits from those over a bf16 cache, relative L2
};

// Replaces a row of floats by what a cache of this type would give back for it.
void RoundRow(ElementType type, int64_t dim, std::byte* row) {
  std::vector<float> x(static_cast<size_t>(dim));
  std::memcpy(x.data(), row, x.size() * sizeof(float));
  std::vector<std::byte> numbers(static_cast<size_t>(BytesOf(type, dim).value()));
  std::byte word[kWordBytes];
  WriteKvRow(type, x.data(), dim, numbers.data(), word);
  const RowWord scaled = ReadWord(type, word);
  for (int64_t d = 0; d < dim; ++d) {
    x[static_cast<size_t>(d)] = static_cast<float>(ReadKv(type, numbers.data(), scaled, d));
  }
  std::memcpy(row, x.data(), x.size() * sizeof(float));
}

// Appends to a cache of floats, rounded as if it were one of `kType`: what is quantised is there
// dequantised, and attention is that of floats.
template <ElementType kType>
absl::Status AppendDequantised(const RotateAndAppendArgs& args) {
  const absl::Status status = CpuOps().rotate_and_append(args);
  const LayerLayout& layer = args.cache.layer;
  for (int64_t i = 0; i < args.rows * layer.kv_heads; ++i) {
    const RowPlace& place = args.places[i / layer.kv_heads];
    std::byte* const key = KeySlot(args.cache, place.table, place.position, i % layer.kv_heads);
    RoundRow(kType, layer.head_dim, key);
    RoundRow(kType, layer.head_dim, key + ValueOffset(args.cache));
  }
  return status;
}

Ops DequantisingOps(ElementType type) {
  Ops ops = CpuOps();
  ops.rotate_and_append = type == ElementType::kInt8   ? &AppendDequantised<ElementType::kInt8>
                          : type == ElementType::kInt4 ? &AppendDequantised<ElementType::kInt4>
                                                       : &AppendDequantised<ElementType::kFp8>;
  return ops;
}

PagedLayer LayerOf(const TinyEngine& engine, size_t layer) {
  return {.pool = engine.arena->base(),
          .type = engine.layout.type,
          .block_bytes = engine.layout.block_bytes.value(),
          .block_tokens = engine.layout.block_tokens.value(),
          .layer = engine.layout.layers[layer]};
}

// Every K and V of the first `positions`, as floats into a cache of floats.
void CopyDequantised(const TinyEngine& from, std::span<const BlockId> from_table, int64_t positions,
                     const TinyEngine& to, std::span<const BlockId> to_table) {
  const int32_t from_block = from_table.front().index();  // of one block that holds them all
  const int32_t to_block = to_table.front().index();
  for (size_t l = 0; l < from.layout.layers.size(); ++l) {
    const PagedLayer source = LayerOf(from, l);
    const PagedLayer target = LayerOf(to, l);
    for (int64_t i = 0; i < positions * source.layer.kv_heads; ++i) {
      const int64_t position = i / source.layer.kv_heads, head = i % source.layer.kv_heads;
      const std::byte* const key = KeySlot(source, &from_block, position, head);
      const std::byte* const word = KeyWord(source, &from_block, position, head);
      std::byte* const floats = KeySlot(target, &to_block, position, head);
      for (int64_t d = 0; d < source.layer.head_dim; ++d) {
        const double k = ReadKv(source.type, key, ReadWord(source.type, word), d);
        const double v = ReadKv(source.type, key + ValueOffset(source),
                                ReadWord(source.type, word + ValueWordOffset(source)), d);
        WriteElement(floats, ElementType::kFp32, d, static_cast<float>(k));
        WriteElement(floats + ValueOffset(target), ElementType::kFp32, d, static_cast<float>(v));
      }
    }
  }
}

class EveryKvType : public testing::TestWithParam<KvType> {
 protected:
  // Four layers of heads of a usual width. Weights are scaled by their fan in, so that attention
  // is as sharp as a trained model's and what is rounded in the cache reaches the logits.
  static const TinyModel& Model() {
    static const TinyModel model({.layers = 4,
                                  .hidden = 256,
                                  .intermediate = 512,
                                  .heads = 4,
                                  .kv_heads = 2,
                                  .head_dim = 64,
                                  .vocab = 256});
    return model;
  }
  static std::vector<int32_t> Prompt(size_t count) {
    std::mt19937 random(1);
    std::vector<int32_t> tokens(count);
    for (int32_t& each : tokens) each = static_cast<int32_t>(random() % 256);
    return tokens;
  }
  static std::vector<float> Logits(const Ops& ops, ElementType kv,
                                   const std::vector<int32_t>& tokens) {
    TinyEngine engine(Model(), ops, {.kv = kv, .block_tokens = Tokens(16)});
    return engine.LogitsOf(tokens, 16);
  }
};

TEST_P(EveryKvType, LogitsStayNearThoseOverBf16) {
  const std::vector<int32_t> prompt = Prompt(200);
  const double distance = RelativeError(Logits(CpuOps(), GetParam().type, prompt),
                                        Logits(CpuOps(), ElementType::kBf16, prompt));
  RecordProperty("distance", std::to_string(distance));
  EXPECT_LT(distance, GetParam().from_bf16);
  EXPECT_GT(distance, GetParam().from_bf16 / 4);  // or the table is out of date
}

// Multiplying numbers and applying words to sums is as good as dequantising first: one token more,
// over the cache of 200 and over the same cache dequantised. Measured below 4e-6, where no number
// of the new token's own K and V falls half way between two steps.
TEST_P(EveryKvType, LogitsAreThoseOfFloatsOverTheDequantisedCache) {
  const std::vector<int32_t> prompt = Prompt(200);
  const std::vector<int32_t> next = {7};
  const Ops dequantising = DequantisingOps(GetParam().type);
  TinyEngine stored(Model(), CpuOps(), {.kv = GetParam().type, .block_tokens = Tokens(256)});
  TinyEngine floats(Model(), dequantising,
                    {.kv = ElementType::kFp32, .block_tokens = Tokens(256), .blocks = Blocks(4)});
  const SequenceId id = stored.Begin();
  for (size_t at = 0; at < prompt.size(); at += 50) {
    const BatchEntry entry = stored.Append(id, std::span(prompt).subspan(at, 50));
    (void)stored.Forward({&entry, 1});
  }
  const SequenceId same = floats.Begin();
  (void)floats.Append(same, prompt);
  const BatchEntry more = stored.Append(id, next);
  const BatchEntry same_more = floats.Append(same, next);
  CopyDequantised(stored, more.table, std::ssize(prompt), floats, same_more.table);
  EXPECT_LT(RelativeError(stored.Forward({&more, 1}), floats.Forward({&same_more, 1})), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Decoder, EveryKvType,
                         testing::Values(KvType{ElementType::kInt8, 3e-2},
                                         KvType{ElementType::kFp8, 0.15},
                                         KvType{ElementType::kInt4, 0.5}),
                         [](const auto& each) { return std::string(NameOf(each.param.type)); });

}  // namespace
}  // namespace plimsoll
