#include "engine/ops/arguments.h"

#include <limits>
#include <string>

#include "absl/strings/str_format.h"
#include "engine/ops/float16.h"
#include "engine/ops/kv_row.h"
#include "engine/ops/token_slot.h"
#include "engine/ops/weight_element.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

absl::Status CheckType(const char* operation, ElementType type) {
  if (IsFloatStorage(type)) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrFormat("%s: no %s on the CPU, want fp32, fp16 or bf16",
                                                  operation, std::string(NameOf(type))));
}

// A matrix may be quantised.
absl::Status CheckMatrix(const char* operation, const WeightView& weight) {
  if (weight.type != ElementType::kInt8 && weight.type != ElementType::kInt4) {
    return CheckType(operation, weight.type);
  }
  PLIMSOLL_CHECK(weight.scales != nullptr);
  PLIMSOLL_CHECK(IsWeightGroup(weight.group, weight.cols), weight.group, weight.cols);
  return absl::OkStatus();
}

absl::Status CheckCacheType(const char* operation, ElementType type) {
  if (type != ElementType::kTf32) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrFormat("%s: no cache of %s, want fp32, fp16, bf16, fp8, int8 or int4", operation,
                      std::string(NameOf(type))));
}

absl::Status CheckCache(const char* operation, const PagedLayer& cache, int64_t heads) {
  const LayerLayout& layer = cache.layer;
  PLIMSOLL_CHECK(cache.pool != nullptr);
  PLIMSOLL_CHECK(cache.block_tokens > 0, cache.block_tokens);
  PLIMSOLL_CHECK((cache.block_tokens & (cache.block_tokens - 1)) == 0, cache.block_tokens);
  PLIMSOLL_CHECK(layer.kv_heads > 0 && layer.head_dim > 0, layer.kv_heads, layer.head_dim);
  PLIMSOLL_CHECK(heads > 0 && heads % layer.kv_heads == 0, heads, layer.kv_heads);
  PLIMSOLL_RETURN_IF_ERROR(CheckCacheType(operation, cache.type));
  PLIMSOLL_CHECK(layer.row_bytes >= BytesOf(cache.type, layer.head_dim), layer.row_bytes);
  PLIMSOLL_CHECK(layer.kv_bytes >= cache.block_tokens * layer.row_bytes, layer.kv_bytes);
  PLIMSOLL_CHECK(layer.head_bytes >= 2 * layer.kv_bytes, layer.head_bytes);
  const Bytes rows_end = layer.offset + layer.kv_heads * layer.head_bytes;
  PLIMSOLL_CHECK(rows_end <= Bytes(cache.block_bytes), cache.block_bytes);
  if (!HasWords(cache.type)) return absl::OkStatus();
  const Bytes words = Bytes(2 * kWordBytes) * layer.kv_heads * cache.block_tokens;
  PLIMSOLL_CHECK(layer.scales >= rows_end, layer.scales, rows_end);
  PLIMSOLL_CHECK(layer.scales + words <= Bytes(cache.block_bytes), layer.scales);
  return absl::OkStatus();
}

void CheckPlaces(const RowPlace* places, int64_t rows) {
  PLIMSOLL_CHECK(rows >= 0, rows);
  for (int64_t r = 0; r < rows; ++r) {
    PLIMSOLL_CHECK(places[r].position >= 0, r, places[r].position);
    PLIMSOLL_CHECK(places[r].table != nullptr, r);
  }
}

}  // namespace

absl::Status CheckArguments(const EmbedArgs& args) {
  PLIMSOLL_CHECK(args.rows >= 0, args.rows);
  PLIMSOLL_CHECK(args.table.data != nullptr);
  for (int64_t r = 0; r < args.rows; ++r) {
    PLIMSOLL_CHECK(args.ids[r] >= 0 || args.drawn != nullptr, args.ids[r]);
    PLIMSOLL_CHECK(args.Id(r) >= 0 && args.Id(r) < args.table.rows, args.Id(r), args.table.rows);
  }
  return CheckType("embed", args.table.type);
}

absl::Status CheckArguments(const RmsNormArgs& args) {
  PLIMSOLL_CHECK(args.rows >= 0 && args.cols > 0, args.rows, args.cols);
  PLIMSOLL_CHECK(args.gain.data != nullptr);
  PLIMSOLL_CHECK(args.gain.rows == 1 && args.gain.cols == args.cols, args.gain.cols, args.cols);
  return CheckType("rms_norm", args.gain.type);
}

absl::Status CheckArguments(const LinearArgs& args) {
  const WeightView& weight = args.weight;
  PLIMSOLL_CHECK(args.rows >= 0, args.rows);
  PLIMSOLL_CHECK(weight.data != nullptr);
  PLIMSOLL_CHECK(weight.rows > 0 && weight.cols > 0, weight.rows, weight.cols);
  PLIMSOLL_RETURN_IF_ERROR(CheckMatrix("linear", weight));
  if (args.bias.data == nullptr) return absl::OkStatus();
  PLIMSOLL_CHECK(args.bias.rows == 1 && args.bias.cols == weight.rows, args.bias.cols, weight.rows);
  return CheckType("linear", args.bias.type);
}

absl::Status CheckArguments(const RotateAndAppendArgs& args) {
  const int64_t rotated = args.rotated_dims;
  PLIMSOLL_CHECK(rotated >= 0 && rotated % 2 == 0, rotated);
  PLIMSOLL_CHECK(rotated <= args.cache.layer.head_dim, rotated, args.cache.layer.head_dim);
  CheckPlaces(args.places, args.rows);
  return CheckCache("rotate_and_append", args.cache, args.heads);
}

absl::Status CheckArguments(const AttentionArgs& args) {
  PLIMSOLL_CHECK(args.window > 0, args.window);
  PLIMSOLL_CHECK(args.softcap >= 0, args.softcap);
  CheckPlaces(args.places, args.rows);
  return CheckCache("attention", args.cache, args.heads);
}

absl::Status CheckArguments(const GatedActivationArgs& args) {
  PLIMSOLL_CHECK(args.count >= 0, args.count);
  return absl::OkStatus();
}

absl::Status CheckArguments(const SoftcapArgs& args) {
  PLIMSOLL_CHECK(args.count >= 0 && args.cap > 0, args.count, args.cap);
  return absl::OkStatus();
}

absl::Status CheckArguments(const RouteArgs& args) {
  PLIMSOLL_CHECK(args.rows >= 0, args.rows);
  PLIMSOLL_CHECK(args.active > 0 && args.active <= args.experts, args.active, args.experts);
  return absl::OkStatus();
}

// The types of the weights are for linear to judge.
absl::Status CheckArguments(const ExpertsArgs& args) {
  PLIMSOLL_CHECK(args.rows >= 0 && args.choices > 0, args.rows, args.choices);
  PLIMSOLL_CHECK(args.count > 0, args.count);
  PLIMSOLL_CHECK(args.rows <= std::numeric_limits<int32_t>::max() / args.choices, args.rows);
  for (int64_t i = 0; i < args.rows * args.choices; ++i) {
    PLIMSOLL_CHECK(args.chosen[i] >= 0 && args.chosen[i] < args.count, args.chosen[i], args.count);
  }
  const int64_t hidden = args.experts[0].gate.cols;
  for (int64_t e = 0; e < args.count; ++e) {
    const ExpertWeights& expert = args.experts[e];
    const int64_t width = expert.gate.rows;
    PLIMSOLL_CHECK(expert.gate.cols == hidden && expert.up.cols == hidden, e, hidden);
    PLIMSOLL_CHECK(expert.up.rows == width && expert.down.cols == width, e, width);
    PLIMSOLL_CHECK(expert.down.rows == hidden, e, expert.down.rows, hidden);
  }
  return absl::OkStatus();
}

absl::Status CheckArguments(const SampleArgs& args) {
  PLIMSOLL_CHECK(args.rows >= 0, args.rows);
  PLIMSOLL_CHECK(args.vocab > 0 && args.vocab <= kVocabMost, args.vocab);
  return absl::OkStatus();
}

}  // namespace plimsoll
