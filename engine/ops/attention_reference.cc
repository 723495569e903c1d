#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/ops/arguments.h"
#include "engine/ops/kv_row.h"
#include "engine/ops/reference.h"
#include "engine/ops/token_slot.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {
namespace {

double Capped(double score, double softcap) {
  return softcap == 0 ? score : softcap * std::tanh(score / softcap);
}

// The score of each of the positions in [first, last].
std::vector<double> Scores(const AttentionArgs& args, const float* q, const int32_t* table,
                           int64_t kv_head, int64_t first, int64_t last) {
  const PagedLayer& cache = args.cache;
  std::vector<double> scores;
  for (int64_t p = first; p <= last; ++p) {
    const std::byte* const key = KeySlot(cache, table, p, kv_head);
    const RowWord word = ReadWord(cache.type, KeyWord(cache, table, p, kv_head));
    double sum = 0;
    for (int64_t d = 0; d < cache.layer.head_dim; ++d) {
      sum += double{q[d]} * ReadKv(cache.type, key, word, d);
    }
    scores.push_back(Capped(args.scale * sum, args.softcap));
  }
  return scores;
}

// `sink`, if any, is one more score.
void Softmax(std::vector<double>& scores, const float* sink) {
  double peak = *std::max_element(scores.begin(), scores.end());
  if (sink != nullptr) peak = std::max(peak, double{*sink});
  double total = sink != nullptr ? std::exp(*sink - peak) : 0;
  for (double& score : scores) total += score = std::exp(score - peak);
  for (double& score : scores) score /= total;
}

void AttendHead(const AttentionArgs& args, int64_t row, int64_t head) {
  const PagedLayer& cache = args.cache;
  const int64_t dim = cache.layer.head_dim;
  const int64_t kv_head = head / (args.heads / cache.layer.kv_heads);
  const RowPlace& place = args.places[row];
  const int64_t first = FirstVisible(place.position, args.window);
  const int64_t at = (row * args.heads + head) * dim;
  std::vector<double> weights =
      Scores(args, args.q + at, place.table, kv_head, first, place.position);
  Softmax(weights, args.sinks == nullptr ? nullptr : args.sinks + head);
  std::vector<double> sums(static_cast<size_t>(dim));
  for (int64_t p = first; p <= place.position; ++p) {
    const std::byte* const value = KeySlot(cache, place.table, p, kv_head) + ValueOffset(cache);
    const RowWord word =
        ReadWord(cache.type, KeyWord(cache, place.table, p, kv_head) + ValueWordOffset(cache));
    const double weight = weights[static_cast<size_t>(p - first)];
    for (int64_t d = 0; d < dim; ++d) {
      sums[static_cast<size_t>(d)] += weight * ReadKv(cache.type, value, word, d);
    }
  }
  for (int64_t d = 0; d < dim; ++d) {
    args.out[at + d] = static_cast<float>(sums[static_cast<size_t>(d)]);
  }
}

}  // namespace

absl::Status Attention(const AttentionArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t h = 0; h < args.heads; ++h) AttendHead(args, r, h);
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
