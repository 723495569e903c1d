// One call of paged attention: what kernels of CUDA make of it on the emulator, and what it should
// be, by scalar sums in double precision over the numbers that the cache means.
//
// Queries are rounded to 16 bits before both, since kernels multiply in 16 bits.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/ops/attention_launch_cuda.cuh"
#include "engine/ops/attention_plan.h"
#include "tests/engine/ops/kv_pool.h"

namespace plimsoll {

inline constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::max();

struct AttentionProblem {
  KvPool::Shape shape;
  int64_t group;
  std::vector<int64_t> lengths;
  int64_t rows_of_each = 1;  // the last ones of each sequence
  int64_t window = kNoWindow;
  float softcap = 0;
  bool sinks = false;
  int32_t blocks_at_once = 1;  // more than there are items: they are split
  int32_t cut = 0;  // where items that reach beyond are cut, in the middle of a tile if need be
  int32_t spare_items = 0;
  bool chunks = false;         // rows that are more than an item's go to the kernel of chunks
  int32_t chunks_at_once = 1;  // blocks of threads; more than there are chunks: they are split
  ElementType out_type = ElementType::kFp32;
};

class AttentionRun {
 public:
  AttentionRun(const AttentionProblem& problem, std::mt19937& rng)
      : problem_(problem),
        heads_(problem.group * problem.shape.kv_heads),
        pool_(problem.shape, problem.lengths, rng) {
    for (size_t s = 0; s < problem.lengths.size(); ++s) {
      const int64_t length = problem.lengths[s];
      for (int64_t p = std::max<int64_t>(length - problem.rows_of_each, 0); p < length; ++p) {
        places_.push_back({p, pool_.table(s).data()});
        sequences_.push_back(s);
      }
    }
    const int64_t dims = std::ssize(places_) * heads_ * problem.shape.head_dim;
    q_ = RandomFloats(dims, rng);
    for (float& q : q_) q = Rounded(q);
    if (problem.sinks) sinks_ = RandomFloats(heads_, rng);
  }

  const KvPool& pool() const { return pool_; }
  const std::vector<RowPlace>& places() const { return places_; }
  const std::vector<size_t>& sequences() const { return sequences_; }  // of the places
  const std::vector<float>& q() const { return q_; }
  const std::vector<float>& sinks() const { return sinks_; }

  // NaN wherever a kernel wrote nothing.
  std::vector<float> Kernel() {
    Plan();
    const auto partials = static_cast<size_t>(plan_.partials * heads_);
    std::vector<float> sums(partials * static_cast<size_t>(problem_.shape.head_dim), NAN);
    std::vector<float> weights(2 * partials, NAN);
    std::vector<PlimsollCudaRow> rows;
    for (const RowPlace& place : places_) rows.push_back({place.position, place.table});
    std::vector<std::byte> out(static_cast<size_t>(BytesOf(problem_.out_type, Count()).value()),
                               std::byte{0xff});
    PlimsollCudaAttention call = Call();
    call.places = rows.data();
    call.out = out.data();
    call.partial_sums = sums.data();
    call.partial_weights = weights.data();
    EXPECT_EQ(cuda::LaunchAttention(call, nullptr), 0);
    std::vector<float> result;
    for (int64_t i = 0; i < Count(); ++i) {
      result.push_back(ReadElement(out.data(), problem_.out_type, i));
    }
    return result;
  }

  const cuda::AttentionPlan& Plan() {
    const auto heads = static_cast<int32_t>(heads_);
    const auto kv_heads = static_cast<int32_t>(problem_.shape.kv_heads);
    const auto head_dim = static_cast<int32_t>(problem_.shape.head_dim);
    cuda::PlanAttention(
        places_,
        {.rows_per_item = cuda::RowsPerAttentionItem(heads, kv_heads, head_dim),
         .blocks_per_item = cuda::BlocksPerAttentionItem(heads, kv_heads, head_dim),
         .blocks_at_once = problem_.blocks_at_once,
         .window = problem_.window,
         .least_tokens = 64,
         .rows_per_chunk = problem_.chunks ? cuda::RowsPerChunk(heads, kv_heads, head_dim) : 0,
         .blocks_per_chunk = cuda::BlocksPerChunk(heads, kv_heads, head_dim),
         .chunk_blocks_at_once = problem_.chunks_at_once},
        plan_);
    if (problem_.cut > 0) {
      CutItems(problem_.cut, plan_.items);
      CutItems(problem_.cut, plan_.chunks);
    }
    for (int32_t i = 0; i < problem_.spare_items; ++i) {
      plan_.items.push_back({});
      if (problem_.chunks) plan_.chunks.push_back({});
      plan_.splits.push_back({});
    }
    return plan_;
  }

  std::vector<float> Reference() const {
    std::vector<float> out;
    for (size_t row = 0; row < places_.size(); ++row) {
      for (int64_t head = 0; head < heads_; ++head) AppendReference(row, head, out);
    }
    return out;
  }

  // What the judge of all tables makes of the same bytes.
  std::vector<float> OpsReference() const {
    std::vector<float> out(q_.size(), NAN);
    EXPECT_TRUE(ReferenceOps().attention(Args(out.data())).ok());
    return out;
  }

  // As tables of operations take it, on the host.
  AttentionArgs Args(float* out) const {
    const KvPool::Shape& shape = problem_.shape;
    const LayerLayout layer = {.kv_heads = shape.kv_heads,
                               .head_dim = shape.head_dim,
                               .offset = Bytes(pool_.layer_offset()),
                               .row_bytes = BytesOf(shape.type, shape.head_dim),
                               .kv_bytes = Bytes(pool_.kv_bytes()),
                               .head_bytes = Bytes(pool_.head_bytes()),
                               .scales = Bytes(pool_.layer_offset() + pool_.scales())};
    return {.q = q_.data(),
            .rows = std::ssize(places_),
            .heads = heads_,
            .scale = Scale(),
            .window = problem_.window,
            .places = places_.data(),
            .cache = {.pool = pool_.layer() - pool_.layer_offset(),
                      .type = shape.type,
                      .block_bytes = pool_.block_bytes(),
                      .block_tokens = shape.block_tokens,
                      .layer = layer},
            .out = out,
            .softcap = problem_.softcap,
            .sinks = problem_.sinks ? sinks_.data() : nullptr};
  }

  // As the kernel takes it, but for memory that a run brings.
  PlimsollCudaAttention Call() const {
    PlimsollCudaAttention call = {};
    call.q = q_.data();
    call.out_type = static_cast<int32_t>(problem_.out_type);
    call.type = static_cast<int32_t>(problem_.shape.type);
    call.sinks = problem_.sinks ? sinks_.data() : nullptr;
    call.heads = static_cast<int32_t>(heads_);
    call.kv_heads = static_cast<int32_t>(problem_.shape.kv_heads);
    call.head_dim = static_cast<int32_t>(problem_.shape.head_dim);
    call.scale = Scale();
    call.softcap = problem_.softcap;
    call.window = problem_.window;
    call.layer = reinterpret_cast<const unsigned char*>(pool_.layer());
    call.block_tokens = static_cast<int32_t>(problem_.shape.block_tokens);
    call.block_bytes = pool_.block_bytes();
    call.head_bytes = pool_.head_bytes();
    call.kv_bytes = pool_.kv_bytes();
    call.scales = pool_.scales();
    call.items = plan_.items.data();
    call.item_count = static_cast<int32_t>(plan_.items.size());
    call.chunks = plan_.chunks.data();
    call.chunk_count = static_cast<int32_t>(plan_.chunks.size());
    call.splits = plan_.splits.data();
    call.split_count = static_cast<int32_t>(plan_.splits.size());
    return call;
  }

 private:
  int64_t Count() const { return std::ssize(q_); }
  float Scale() const { return 1 / std::sqrt(static_cast<float>(problem_.shape.head_dim)); }

  float Rounded(float q) const {
    return problem_.shape.type == ElementType::kBf16 ? FloatFromBf16(Bf16FromFloat(q))
                                                     : FloatFromFp16(Fp16FromFloat(q));
  }

  // As no plan does, but an item may be anything.
  void CutItems(int32_t cut, std::vector<cuda::AttentionItem>& items) {
    for (size_t i = 0, whole = items.size(); i < whole; ++i) {
      cuda::AttentionItem& item = items[i];
      if (item.begin >= cut || item.end <= cut) continue;
      for (int32_t row = 0; row < item.rows; ++row) {
        plan_.splits.push_back({item.row + row, plan_.partials + row, item.rows, 2});
      }
      cuda::AttentionItem rest = item;
      item.end = rest.begin = cut;
      item.partial = plan_.partials;
      rest.partial = plan_.partials + item.rows;
      plan_.partials += 2 * item.rows;
      items.push_back(rest);
    }
  }

  double Score(size_t row, int64_t head, const std::vector<float>& key) const {
    double dot = 0;
    const auto at = (row * static_cast<size_t>(heads_) + static_cast<size_t>(head)) * key.size();
    for (size_t d = 0; d < key.size(); ++d) dot += double{q_[at + d]} * key[d];
    const double score = dot * Scale();
    if (problem_.softcap == 0) return score;
    return problem_.softcap * std::tanh(score / problem_.softcap);
  }

  void AppendReference(size_t row, int64_t head, std::vector<float>& out) const {
    const int64_t last = places_[row].position;
    const int64_t first = last < problem_.window ? 0 : last - problem_.window + 1;
    const int64_t kv_head = head / problem_.group;
    std::vector<double> sums(static_cast<size_t>(problem_.shape.head_dim));
    double total = problem_.sinks ? std::exp(double{sinks_[static_cast<size_t>(head)]}) : 0;
    for (int64_t p = first; p <= last; ++p) {
      const double weight =
          std::exp(Score(row, head, pool_.Numbers(sequences_[row], p, kv_head, 0)));
      const std::vector<float>& value = pool_.Numbers(sequences_[row], p, kv_head, 1);
      total += weight;
      for (size_t d = 0; d < sums.size(); ++d) sums[d] += weight * value[d];
    }
    for (const double sum : sums) out.push_back(static_cast<float>(sum / total));
  }

  AttentionProblem problem_;
  int64_t heads_;
  KvPool pool_;
  std::vector<RowPlace> places_;
  std::vector<size_t> sequences_;
  std::vector<float> q_;
  std::vector<float> sinks_;
  cuda::AttentionPlan plan_;
};

}  // namespace plimsoll
