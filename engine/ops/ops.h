// The operations of a decoder, as a table of functions per device.
//
// The same arguments mean the same on every device; pointers in them must be readable by it. Calls
// on the CPU are complete when they return; calls on CUDA are queued on the table's stream. Three
// tables exist: the reference (scalar, double sums, the judge of the others), the CPU's (Highway)
// and, from the module libplimsoll_cuda.so, CUDA's.
//
// Shapes are row-major. Activations are fp32; weights and the cache are stored as their type says.
//
// Threads: one caller per table at a time. Cost: as each says. Errors: Unimplemented for a type the
// table cannot do; Internal from a device. Shapes are the caller's promise and are checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/ops/attention_cuda.h"
#include "engine/ops/cuda_arguments.h"
#include "engine/ops/sampling_rule.h"
#include "kvcache/base/element_type.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/cache_layout.h"

namespace plimsoll {

enum class Device : uint8_t { kCpu, kCuda };

// A weight as stored: [rows, cols], or [1, cols] for a vector. Null data: absent.
//
// A quantised matrix has scales beside it, row-major [rows, ceil(cols / group)]:
//
//   int8   weight = scale * q            q signed, a byte; a scale is one fp16
//   int4   weight = scale * (q - zero)   q in [0, 15], two to a byte, the even column in the low
//                                        bits, rows of whole bytes; a scale is two fp16: {scale,
//                                        zero}
struct WeightView {
  const std::byte* data = nullptr;
  ElementType type = ElementType::kFp32;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* scales = nullptr;  // of int8 and int4
  int64_t group = 0;                  // columns that share one; `cols` for one scale a row
};

// Numbers that a product will read, in the 16 bits that CUDA's products are made in. Where `data`
// is not null, an operation's results go there, rounded, and `out` is not used; a linear layer's
// input comes from there. CUDA alone has it.
struct Narrowed {
  std::byte* data = nullptr;
  ElementType type = ElementType::kBf16;  // or fp16
};

// out[r, :] = scale * table[id, :], where id is ids[r], or drawn[-1 - ids[r]] if that is negative:
// a token that was drawn on the device and that the host need not know.
struct EmbedArgs {
  const int32_t* ids;  // [rows]; what they lead to is in [0, table.rows)
  int64_t rows;
  WeightView table;  // [vocab, hidden]
  float scale;
  float* out;                      // [rows, hidden]
  const int32_t* drawn = nullptr;  // null where no id is negative

  int32_t Id(int64_t row) const { return ids[row] >= 0 ? ids[row] : drawn[-1 - ids[row]]; }
};

// out[r, c] = (gain[c] + gain_offset) * x[r, c] / sqrt(mean over c of x[r, c]^2 + epsilon)
//             (+ out[r, c] when accumulating)
struct RmsNormArgs {
  const float* x;  // [rows, cols]; may equal out
  int64_t rows;
  int64_t cols;
  WeightView gain;  // [1, cols]
  float gain_offset;
  float epsilon;
  float* out;
  bool accumulate = false;
  Narrowed narrowed = {};
};

// out[r, n] = sum over k of x[r, k] * weight[n, k] + bias[n] (+ out[r, n] when accumulating)
struct LinearArgs {
  const float* x;  // [rows, weight.cols]
  int64_t rows;
  WeightView weight;  // [out, in]
  WeightView bias;    // [1, out] or absent
  bool accumulate;
  float* out;  // [rows, weight.rows]
  Narrowed narrowed = {};
};

// One layer of the paged cache.
struct PagedLayer {
  std::byte* pool;       // block 0
  ElementType type;      // fp32, fp16, bf16, fp8, int8 or int4; see kv_row.h
  int64_t block_bytes;   // from one block to the next
  int64_t block_tokens;  // a power of two
  LayerLayout layer;
};

// Which token slot a row is: position `position` of the sequence with this block table.
struct RowPlace {
  int64_t position;
  const int32_t*
      table;  // block indices; on CUDA, null for a row of nobody, which nothing is kept of
};

// Rotates the first `rotated_dims` of each head of q and k, pairing dim i with i + rotated/2:
//   x'[i] = x[i] cos - x[i + h] sin;  x'[i + h] = x[i + h] cos + x[i] sin
// then stores k and v of each row in its token slot. q is rotated in place.
struct RotateAndAppendArgs {
  float* q;        // [rows, heads, head_dim]
  float* k;        // [rows, kv_heads, head_dim], overwritten
  const float* v;  // [rows, kv_heads, head_dim]
  int64_t rows;
  int64_t heads;
  int64_t rotated_dims;
  const float* cos;  // [positions, rotated_dims / 2], indexed by the row's position
  const float* sin;
  const RowPlace* places;  // [rows]
  PagedLayer cache;
};

// How attention is cut up for a GPU and where its pieces leave their results (attention_cuda.h); on
// the device. The CPU takes the rows as they are.
struct AttentionWork {
  const PlimsollCudaAttentionItem* items = nullptr;
  int32_t item_count = 0;
  const PlimsollCudaAttentionItem* chunks = nullptr;
  int32_t chunk_count = 0;
  const PlimsollCudaAttentionSplit* splits = nullptr;
  int32_t split_count = 0;
  float* partial_sums = nullptr;
  float* partial_weights = nullptr;
};

// score[p]     = scale * q[r, h, :] . K[p, h / group, :], then softcap * tanh(score / softcap)
// out[r, h, :] = softmax over positions p in (position - window, position] of score[p]
//                times V[p, h / group, :]
// A sink is one more score in the softmax, which has no value. Token slots past `position` are
// never read.
struct AttentionArgs {
  const float* q;  // [rows, heads, head_dim]
  int64_t rows;
  int64_t heads;
  float scale;
  int64_t window;  // > 0; pass INT64_MAX for none
  const RowPlace* places;
  PagedLayer cache;
  float* out;                    // [rows, heads, head_dim]
  float softcap = 0;             // 0: none
  const float* sinks = nullptr;  // [heads], or null for none
  Narrowed narrowed = {};
  AttentionWork work = {};
};

// out[r, i] = activation(gate[r, i]) * up[r, i]; out may equal gate or up.
struct GatedActivationArgs {
  const float* gate;
  const float* up;
  int64_t count;
  Activation activation;
  float* out;
  Narrowed narrowed = {};
};

// x[i] = cap * tanh(x[i] / cap)
struct SoftcapArgs {
  float* x;
  int64_t count;
  float cap;  // > 0
};

// Chooses the experts of each row: the `active` with the largest logits, of equal ones the first.
//   share = exp(logit) / sum over experts of exp(logit); when renormalised, over the chosen ones
// An expert that all rows share is chosen last, as number `experts`, with a share of
// 1 / (1 + exp(-shared logit)).
struct RouteArgs {
  const float* logits;  // [rows, experts]
  const float* shared;  // [rows], or null: no expert is shared
  int64_t rows;
  int64_t experts;
  int64_t active;  // in [1, experts]
  bool renormalise;
  int32_t* chosen;  // [rows, active, and one more if shared], by falling logit
  float* shares;    // the same
};

// down . (activation(gate . x) * up . x)
struct ExpertWeights {
  WeightView gate, up, down;
};

// What an experts call may write to; `width` is the widest expert's. On CUDA every choice of a row
// has its place: rows x choices instead of rows.
struct ExpertScratch {
  float* gathered;  // [rows, hidden]; on CUDA in 16 bits
  float* gate;      // [rows, width]
  float* up;        // [rows, width]
  float* mixed;     // [rows, hidden]
  int32_t* picked;  // [rows]; on CUDA [2 x rows x choices + count + 1]
};

// A layer's experts as CUDA's kernels find them, in the memory of the device. They are of one type,
// and 64 divides their widths.
struct ExpertTable {
  const PlimsollCudaExpert* experts = nullptr;  // [count]
  ElementType type = ElementType::kBf16;
  bool groups_of_32 = false;  // of columns that share a scale
  int64_t width = 0;          // of the widest
};

// out[r, :] += sum over i of shares[r, i] * expert chosen[r, i] of x[r, :]
// An expert's weights are read once for all rows that chose it, and not if none did.
struct ExpertsArgs {
  const float* x;         // [rows, hidden]
  const int32_t* chosen;  // [rows, choices], different ones in a row
  const float* shares;    // [rows, choices]
  int64_t rows;
  int64_t choices;
  const ExpertWeights* experts;  // [count]
  int64_t count;
  Activation activation;
  ExpertScratch scratch;
  float* out;  // [rows, hidden], not x
  // Of CUDA: where x is read, [rows, hidden], and what it becomes behind the gate is written,
  // [rows x choices, width]; and where its experts are.
  Narrowed narrowed = {};
  ExpertTable table = {};
};

// tokens[r] is drawn from the row of logits as draws[r] says: sampler.h and sampling_rule.h. Every
// device draws the same. kNoToken from a row of NaN.
struct SampleArgs {
  const float* logits;  // [rows, vocab]
  int64_t rows;
  int64_t vocab;  // at most kVocabMost
  const Draw* draws;
  int32_t* tokens;  // [rows]
};

struct Ops {
  std::string_view name;  // "reference", "cpu", "cuda"
  Device device;
  absl::Status (*embed)(const EmbedArgs&);
  absl::Status (*rms_norm)(const RmsNormArgs&);
  absl::Status (*linear)(const LinearArgs&);
  absl::Status (*rotate_and_append)(const RotateAndAppendArgs&);
  absl::Status (*attention)(const AttentionArgs&);
  absl::Status (*gated_activation)(const GatedActivationArgs&);
  absl::Status (*sample)(const SampleArgs&);
  // Null in a table that has none: it runs no model that asks for them.
  absl::Status (*softcap)(const SoftcapArgs&) = nullptr;
  absl::Status (*route)(const RouteArgs&) = nullptr;
  absl::Status (*experts)(const ExpertsArgs&) = nullptr;
  // linear over 16-bit weights without bias by the device's own library, to compare with.
  absl::Status (*library_linear)(const LinearArgs&) = nullptr;
};

// Scalar loops with double sums, in index order: repeatable, and more exact than what it judges.
const Ops& ReferenceOps();
// Highway kernels on a pool of threads (as many as the machine has cores).
const Ops& CpuOps();
// What this build and machine can run, for tests that try every table.
std::vector<const Ops*> AllOps();

}  // namespace plimsoll
