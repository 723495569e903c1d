// A quantised row is read as bytes, a vector's worth of lanes at a time: for int8 one number a
// byte, for int4 two, the even columns and then the odd ones. So that x meets them in that order,
// each piece first lays its part of x out so, with zeros behind the end of a row: 2048 columns at
// a time, for up to 12 rows.
//
// Within a group of columns the sum runs over the bare numbers q, widened to fp32, and is
// multiplied by the group's scale once. int4 becomes a float by two instructions, put into the
// mantissa of 1.0: 1 + q / 16. What that is too large by, 1 + zero / 16, is the same for the whole
// group: its sum starts at minus that, times the sum of x.
//
// While one tile of outputs is multiplied, the rows of the next are fetched: a row is short, and
// the machine's own prefetching starts anew with each.
//
// Each sum runs over the columns in the same order however many rows there are, so a row's result
// does not depend on how many came with it.
#include <algorithm>
#include <cstring>

#include "engine/ops/linear_piece.h"
#include "engine/ops/weight_element.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/linear_quantised_cpu.cc"
#include "hwy/foreach_target.h"  // before highway.h

#include "hwy/cache_control.h"
#include "hwy/highway.h"

#include "engine/ops/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {

constexpr int64_t kBlock = 2048;  // columns; every group that is not a whole row divides it
constexpr int64_t kMostGroups = kBlock / 32;
constexpr int64_t kOutputs = 4;  // at a time, by rows of x:
constexpr int64_t kRows = 3;
constexpr int64_t kMostLanes = static_cast<int64_t>(hn::MaxLanes(Floats()));

struct Int8 {
  static constexpr int64_t kVectors = 1;  // of columns in a vector's worth of bytes
  static constexpr int64_t kScaleHalves = 1;
  static constexpr int64_t kOutputsOfOne = 4;  // at a time, of one row alone
  static HWY_INLINE void Load(Floats d, const std::byte* from, FloatVector (&to)[1]) {
    const auto bytes =
        hn::LoadU(hn::Rebind<int8_t, Floats>(), reinterpret_cast<const int8_t*>(from));
    to[0] = hn::ConvertTo(d, hn::PromoteTo(hn::RebindToSigned<Floats>(), bytes));
  }
};

struct Int4 {
  static constexpr int64_t kVectors = 2;
  static constexpr int64_t kScaleHalves = 2;
  static constexpr int64_t kOutputsOfOne = 8;  // each sum waits for itself, so twice as many
  static HWY_INLINE void Load(Floats d, const std::byte* from, FloatVector (&to)[2]) {
    const hn::RebindToUnsigned<Floats> d32;
    const auto bytes =
        hn::LoadU(hn::Rebind<uint8_t, Floats>(), reinterpret_cast<const uint8_t*>(from));
    const auto pairs = hn::PromoteTo(d32, bytes);
    const auto mantissa = hn::Set(d32, 0xfu << 19);
    const auto one = hn::Set(d32, 0x3f800000u);
    to[0] = hn::BitCast(d, hn::OrAnd(one, hn::ShiftLeft<19>(pairs), mantissa));
    to[1] = hn::BitCast(d, hn::OrAnd(one, hn::ShiftLeft<15>(pairs), mantissa));
  }
};

// Where the columns of one block lie: `units` vectors' worths of bytes, of which the last may have
// fewer than a vector's bytes, in groups of `group_units`.
struct Block {
  int64_t begin;  // the first column
  int64_t bytes;  // of each row of weights
  int64_t units;  // of which whole:
  int64_t whole_units;
  int64_t group_units;
  int64_t first_group;
  int64_t groups;
};

template <class Kind>
Block BlockAt(const WeightView& weight, int64_t begin, int64_t lanes) {
  const int64_t unit = lanes * Kind::kVectors;
  const int64_t count = std::min(kBlock, weight.cols - begin);
  const int64_t group = std::min(weight.group, kBlock);
  Block block;
  block.begin = begin;
  block.bytes = CeilDivide(count, Kind::kVectors);
  block.units = CeilDivide(count, unit);
  block.whole_units = block.bytes / lanes;
  block.group_units = weight.group >= weight.cols ? block.units : group / unit;
  block.first_group = begin / weight.group;
  block.groups = CeilDivide(block.units, block.group_units);
  return block;
}

// What one piece reads of x: its rows laid out as the weights' numbers come, and the sums of its
// groups, lane by lane.
struct Inputs {
  HWY_ALIGN float x[kQuantisedRowBlock][kBlock];
  HWY_ALIGN float sums[kQuantisedRowBlock][kMostGroups * kMostLanes];
};

// The scales of one row's groups in one block, and by how much its numbers are too large.
struct Scales {
  HWY_ALIGN float scale[kMostGroups + kMostLanes];
  HWY_ALIGN float excess[kMostGroups + kMostLanes];
};

HWY_INLINE void LoadColumns(Floats d, const float* from, FloatVector (&to)[1]) {
  to[0] = hn::LoadU(d, from);
}
HWY_INLINE void LoadColumns(Floats d, const float* from, FloatVector (&to)[2]) {
  hn::LoadInterleaved2(d, from, to[0], to[1]);
}

template <class Kind>
void LayOutRow(const float* x, int64_t count, const Block& block, float* to, float* sums) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t unit = lanes * Kind::kVectors;
  HWY_ALIGN float padded[2 * kMostLanes] = {};
  for (int64_t g = 0; g < block.groups; ++g) {
    FloatVector sum = hn::Zero(d);
    const int64_t end = std::min((g + 1) * block.group_units, block.units);
    for (int64_t u = g * block.group_units; u < end; ++u) {
      const float* from = x + u * unit;
      if ((u + 1) * unit > count) {
        std::memcpy(padded, from, static_cast<size_t>(count - u * unit) * sizeof(float));
        from = padded;
      }
      FloatVector columns[Kind::kVectors];
      LoadColumns(d, from, columns);
      for (int64_t j = 0; j < Kind::kVectors; ++j) {
        hn::StoreU(columns[j], d, to + u * unit + j * lanes);
        sum = hn::Add(sum, columns[j]);
      }
    }
    hn::StoreU(sum, d, sums + g * lanes);
  }
}

HWY_INLINE FloatVector Widen(Floats d, hn::Vec<hn::Rebind<uint16_t, Floats>> halves) {
  const hn::Rebind<hwy::float16_t, Floats> d16;
  return hn::PromoteTo(d, hn::BitCast(d16, halves));
}

template <class Kind>
void ReadScales(const WeightView& weight, int64_t row, const Block& block, Scales& to) {
  const Floats d;
  const hn::Rebind<uint16_t, Floats> d16;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int64_t kHalves = Kind::kScaleHalves;
  uint16_t halves[(kMostGroups + kMostLanes) * kHalves] = {};
  const int64_t first = row * GroupsOf(weight) + block.first_group;
  std::memcpy(halves, weight.scales + first * kHalves * 2,
              static_cast<size_t>(block.groups * kHalves * 2));
  for (int64_t g = 0; g < block.groups; g += lanes) {
    if constexpr (kHalves == 1) {
      hn::StoreU(Widen(d, hn::LoadU(d16, halves + g)), d, to.scale + g);
    } else {
      hn::Vec<hn::Rebind<uint16_t, Floats>> scale, zero;
      hn::LoadInterleaved2(d16, halves + 2 * g, scale, zero);
      hn::StoreU(hn::Mul(Widen(d, scale), hn::Set(d, 16.0f)), d, to.scale + g);
      const auto excess = hn::MulAdd(Widen(d, zero), hn::Set(d, 1 / 16.0f), hn::Set(d, 1.0f));
      hn::StoreU(excess, d, to.excess + g);
    }
  }
}

// Rows of weights, each with what is left of it behind the whole vectors, padded.
template <int64_t kN>
struct Rows {
  const std::byte* data;
  const std::byte* next;  // what is read after these, to be fetched meanwhile
  int64_t stride;
  const Scales* scales;
  HWY_ALIGN std::byte tails[kN][kMostLanes];

  Rows(const std::byte* first, int64_t row_stride, const Scales* of_rows, const Block& block,
       int64_t lanes)
      : data(first), next(first + kN * row_stride), stride(row_stride), scales(of_rows), tails{} {
    const int64_t whole = block.whole_units * lanes;
    for (int64_t n = 0; n < kN; ++n) {
      std::memcpy(tails[n], data + n * stride + whole, static_cast<size_t>(block.bytes - whole));
    }
  }
};

// sums[n][r] += one unit of the rows' numbers times x.
template <class Kind, int64_t kN, int64_t kR>
HWY_INLINE void AddUnit(const std::byte* w, int64_t stride, const float* x,
                        FloatVector (&sums)[kN][kR]) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  FloatVector numbers[kN][Kind::kVectors];
  for (int64_t n = 0; n < kN; ++n) Kind::Load(d, w + n * stride, numbers[n]);
  for (int64_t r = 0; r < kR; ++r) {
    for (int64_t j = 0; j < Kind::kVectors; ++j) {
      const FloatVector v = hn::Load(d, x + r * kBlock + j * lanes);
      for (int64_t n = 0; n < kN; ++n) sums[n][r] = hn::MulAdd(numbers[n][j], v, sums[n][r]);
    }
  }
}

// out[r * out_stride + n] += what one block of columns adds, for kN outputs by kR rows.
template <class Kind, int64_t kN, int64_t kR>
HWY_INLINE void AddTile(const Rows<kN>& w, const Block& block, const Inputs& in, int64_t row,
                        float* out, int64_t out_stride) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  FloatVector totals[kN][kR];
  for (int64_t n = 0; n < kN; ++n) {
    for (int64_t r = 0; r < kR; ++r) totals[n][r] = hn::Zero(d);
  }
  for (int64_t g = 0; g < block.groups; ++g) {
    FloatVector sums[kN][kR];
    for (int64_t n = 0; n < kN; ++n) {
      for (int64_t r = 0; r < kR; ++r) {
        sums[n][r] = hn::Zero(d);
        if constexpr (Kind::kScaleHalves == 2) {
          const FloatVector of_x = hn::Load(d, in.sums[row + r] + g * lanes);
          sums[n][r] = hn::NegMulAdd(hn::Set(d, w.scales[n].excess[g]), of_x, sums[n][r]);
        }
      }
    }
    const int64_t end = std::min((g + 1) * block.group_units, block.whole_units);
    const float* const x = in.x[row];
    for (int64_t u = g * block.group_units; u < end; ++u) {
      for (int64_t n = u % 4; n < kN; n += 4) {
        hwy::Prefetch(w.next + n * w.stride + u / 4 * (4 * lanes));
      }
      AddUnit<Kind>(w.data + u * lanes, w.stride, x + u * lanes * Kind::kVectors, sums);
    }
    if (g + 1 == block.groups && block.whole_units < block.units) {
      AddUnit<Kind>(w.tails[0], kMostLanes, x + end * lanes * Kind::kVectors, sums);
    }
    for (int64_t n = 0; n < kN; ++n) {
      const FloatVector scale = hn::Set(d, w.scales[n].scale[g]);
      for (int64_t r = 0; r < kR; ++r) totals[n][r] = hn::MulAdd(sums[n][r], scale, totals[n][r]);
    }
  }
  for (int64_t r = 0; r < kR; ++r) {
    for (int64_t n = 0; n < kN; ++n) out[r * out_stride + n] += Sum(d, totals[n][r]);
  }
}

// The same for all rows of x, three at a time.
template <class Kind, int64_t kN>
void AddOutputs(const LinearArgs& args, const LinearPiece& piece, const Block& block,
                const Inputs& in, int64_t output) {
  const WeightView& weight = args.weight;
  Scales scales[kN];
  for (int64_t n = 0; n < kN; ++n) ReadScales<Kind>(weight, output + n, block, scales[n]);
  const int64_t stride = RowBytesOf(weight);
  const Rows<kN> w(weight.data + output * stride + block.begin / Kind::kVectors, stride, scales,
                   block, static_cast<int64_t>(hn::Lanes(Floats())));
  const int64_t rows = piece.row_end - piece.row_begin;
  float* const out = args.out + piece.row_begin * weight.rows + output;
  int64_t r = 0;
  if constexpr (kN <= kOutputs) {
    for (; r + kRows <= rows; r += kRows) {
      AddTile<Kind, kN, kRows>(w, block, in, r, out + r * weight.rows, weight.rows);
    }
  }
  for (; r < rows; ++r) AddTile<Kind, kN, 1>(w, block, in, r, out + r * weight.rows, weight.rows);
}

template <class Kind>
void AddPiece(const LinearArgs& args, const LinearPiece& piece) {
  const WeightView& weight = args.weight;
  Inputs in;
  for (int64_t k = 0; k < weight.cols; k += kBlock) {
    const Block block = BlockAt<Kind>(weight, k, static_cast<int64_t>(hn::Lanes(Floats())));
    for (int64_t r = piece.row_begin; r < piece.row_end; ++r) {
      const int64_t i = r - piece.row_begin;
      LayOutRow<Kind>(args.x + r * weight.cols + k, std::min(kBlock, weight.cols - k), block,
                      in.x[i], in.sums[i]);
    }
    int64_t n = piece.output_begin;
    if (piece.row_end - piece.row_begin == 1) {
      constexpr int64_t kN = Kind::kOutputsOfOne;
      for (; n + kN <= piece.output_end; n += kN) {
        AddOutputs<Kind, kN>(args, piece, block, in, n);
      }
    }
    for (; n + kOutputs <= piece.output_end; n += kOutputs) {
      AddOutputs<Kind, kOutputs>(args, piece, block, in, n);
    }
    for (; n < piece.output_end; ++n) AddOutputs<Kind, 1>(args, piece, block, in, n);
  }
}

void QuantisedPiece(const LinearArgs& args, const LinearPiece& piece) {
  if (args.weight.type == ElementType::kInt8) return AddPiece<Int8>(args, piece);
  AddPiece<Int4>(args, piece);
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plimsoll::cpu {

HWY_EXPORT(QuantisedPiece);

AddLinearPiece AddQuantisedPiece() { return HWY_DYNAMIC_DISPATCH(QuantisedPiece); }

}  // namespace plimsoll::cpu
#endif
