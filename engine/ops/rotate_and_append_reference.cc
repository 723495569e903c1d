#include "engine/ops/arguments.h"
#include "engine/ops/kv_row.h"
#include "engine/ops/reference.h"
#include "engine/ops/token_slot.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {
namespace {

void RotateHead(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const double low = x[i];
    const double high = x[i + half];
    x[i] = static_cast<float>(low * cos[i] - high * sin[i]);
    x[i + half] = static_cast<float>(high * cos[i] + low * sin[i]);
  }
}

}  // namespace

absl::Status RotateAndAppend(const RotateAndAppendArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const PagedLayer& cache = args.cache;
  const int64_t dim = cache.layer.head_dim;
  const int64_t half = args.rotated_dims / 2;
  for (int64_t r = 0; r < args.rows; ++r) {
    const RowPlace& place = args.places[r];
    const float* const cos = args.cos + place.position * half;
    const float* const sin = args.sin + place.position * half;
    for (int64_t h = 0; h < args.heads; ++h) {
      RotateHead(args.q + (r * args.heads + h) * dim, cos, sin, half);
    }
    for (int64_t h = 0; h < cache.layer.kv_heads; ++h) {
      float* const k = args.k + (r * cache.layer.kv_heads + h) * dim;
      const float* const v = args.v + (r * cache.layer.kv_heads + h) * dim;
      RotateHead(k, cos, sin, half);
      std::byte* const slot = KeySlot(cache, place.table, place.position, h);
      std::byte* const word = KeyWord(cache, place.table, place.position, h);
      WriteKvRow(cache.type, k, dim, slot, word);
      WriteKvRow(cache.type, v, dim, slot + ValueOffset(cache), word + ValueWordOffset(cache));
    }
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
