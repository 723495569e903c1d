// Experts on CUDA: the rows that chose an expert are copied together, go through its matrices, and
// are added where they belong, by share.
//
// Who chose whom is known on the device alone, and stays there: grids are as large as any choice
// could need, and blocks that find nothing to do end. So a layer's experts are a fixed sequence of
// launches, whatever rows choose, and can be captured in a graph.
//
// An expert's weights are read once for every 8 or 32 of its rows, those of others not at all. A
// row's sum is taken in the order of its choices, so it does not depend on who else is in the call.
#pragma once

#include "engine/ops/experts_launch_cuda.h"
#include "engine/ops/gated_activation_cuda.cuh"
#include "engine/ops/linear_cuda.cuh"

namespace plimsoll::cuda {

inline constexpr int kGatherThreads = 128;
inline constexpr int kMixThreads = 256;

SIMT_DEVICE int SumOverWarp(int value) {
  for (int lanes = simt::kWarp / 2; lanes > 0; lanes /= 2) value += simt::ShuffleXor(value, lanes);
  return value;
}

// One warp an expert: counts the choices of those before it and lists its own, in order of rows.
SIMT_KERNEL(simt::kWarp)
GroupChoices(PlimsollCudaExperts args) {
  const int expert = simt::BlockX();
  const int lane = simt::ThreadX();
  const int choices = static_cast<int>(args.rows * args.choices);
  const int each = (choices + simt::kWarp - 1) / simt::kWarp;  // one piece to a lane
  const int begin = lane * each;
  const int end = begin + each < choices ? begin + each : choices;
  int before = 0;
  int mine = 0;
  for (int i = begin; i < end; ++i) {
    before += args.chosen[i] < expert ? 1 : 0;
    mine += args.chosen[i] == expert ? 1 : 0;
  }
  const int first = SumOverWarp(before);
  int slot = first;
  int last = first;
  for (int other = 0; other < simt::kWarp; ++other) {
    const int its = simt::ShuffleFrom(mine, other);
    slot += other < lane ? its : 0;
    last += its;
  }
  for (int i = begin; i < end; ++i) {
    if (args.chosen[i] != expert) continue;
    args.choice_of_slot[slot] = i;
    args.slot_of_choice[i] = slot++;
  }
  if (lane != 0) return;
  args.first_slot[expert] = first;
  if (expert == args.count - 1) args.first_slot[args.count] = last;
}

// One block of threads a slot; two bytes an element.
SIMT_KERNEL(kGatherThreads)
GatherRows(PlimsollCudaExperts args) {
  constexpr int64_t kElements = sizeof(uint4) / 2;
  const int64_t slot = simt::BlockX();
  const int64_t row = args.choice_of_slot[slot] / args.choices;
  const int64_t loads = args.hidden / kElements;
  const uint4* const from = static_cast<const uint4*>(args.x) + row * loads;
  uint4* const to = static_cast<uint4*>(args.gathered) + slot * loads;
  for (int64_t i = simt::ThreadX(); i < loads; i += kGatherThreads) to[i] = from[i];
}

// A matrix of every expert, over its own slots.
struct ExpertLinear {
  const PlimsollCudaWeight* weights;  // of the first expert; each expert has three matrices
  const int32_t* first_slot;
  const void* x;
  int32_t x_type;
  int64_t x_width;  // of a slot
  float* out;
  int64_t out_width;
};

// Blocks: [outputs of the widest, experts].
template <class Tile, int kRowTiles, int kColumnTiles, int kUnroll, int kHalves>
SIMT_KERNEL(kLinearThreads, (LinearBlocks<Tile, kRowTiles, kColumnTiles>()))
LinearOfExperts(ExpertLinear args) {
  constexpr int kRows = 8 * kColumnTiles;
  const PlimsollCudaWeight weight = args.weights[3 * simt::BlockY()];
  if (static_cast<int64_t>(simt::BlockX()) * kRowTiles * kTileRows >= weight.rows) return;
  const int64_t first = args.first_slot[simt::BlockY()];
  const int64_t rows = args.first_slot[simt::BlockY() + 1] - first;
  const typename Tile::Element* const x =
      static_cast<const typename Tile::Element*>(args.x) + first * args.x_width;
  float* const out = args.out + first * args.out_width;
  for (int64_t row = 0; row < rows; row += kRows) {
    if (row > 0) simt::Synchronize();  // the sums before may still be read
    MultiplyFewRows<Tile, kRowTiles, kColumnTiles, kUnroll, kHalves>(
        {.x = x + row * weight.cols,
         .x_type = args.x_type,
         .rows = rows - row < kRows ? rows - row : kRows,
         .weight = weight,
         .bias = {},
         .accumulate = 0,
         .out = out + row * weight.rows});
  }
}

// One block of threads a row.
SIMT_KERNEL(kMixThreads)
MixExperts(PlimsollCudaExperts args) {
  const int64_t first = simt::BlockX() * args.choices;
  float* const out = args.out + simt::BlockX() * args.hidden;
  for (int64_t c = simt::ThreadX(); c < args.hidden; c += kMixThreads) {
    float sum = out[c];
    for (int64_t i = first; i < first + args.choices; ++i) {
      sum += args.shares[i] * args.mixed[args.slot_of_choice[i] * args.hidden + c];
    }
    out[c] = sum;
  }
}

template <class Tile, int kRowTiles, int kColumnTiles, int kHalves>
int LaunchLinearOfExperts(const PlimsollCudaExperts& args, const ExpertLinear& linear,
                          simt::Stream stream) {
  constexpr int kUnroll = 4 / Tile::kLoads;
  constexpr int kOutputs = kRowTiles * kTileRows;
  constexpr int kShared =
      kLinearWarps * kOutputs * (kColumnTiles * 8 + 1) * static_cast<int>(sizeof(float));
  return simt::Launch(&LinearOfExperts<Tile, kRowTiles, kColumnTiles, kUnroll, kHalves>,
                      {.blocks_x = static_cast<int>(linear.out_width / kOutputs),
                       .blocks_y = static_cast<int>(args.count),
                       .threads = kLinearThreads,
                       .shared_bytes = kShared},
                      stream, linear);
}

// By how many rows an expert has when all have the same.
template <class Tile, int kHalves>
int LaunchByExpertRows(const PlimsollCudaExperts& args, const ExpertLinear& linear,
                       simt::Stream stream) {
  if (args.rows <= 8 || args.rows * args.choices <= 8 * args.count) {
    return LaunchLinearOfExperts<Tile, 2, 1, kHalves>(args, linear, stream);
  }
  return LaunchLinearOfExperts<Tile, 1, 4, kHalves>(args, linear, stream);
}

template <class Tile>
int LaunchByExpertGroups(const PlimsollCudaExperts& args, const ExpertLinear& linear,
                         simt::Stream stream) {
  return args.groups_of_32 != 0 ? LaunchByExpertRows<Tile, 2>(args, linear, stream)
                                : LaunchByExpertRows<Tile, 1>(args, linear, stream);
}

// The whole of it, for x in T.
template <class T>
int LaunchExpertsOf(const PlimsollCudaExperts& args, simt::Stream stream) {
  const auto multiply = [&](const PlimsollCudaWeight* weights, const void* x, int64_t x_width,
                            float* out, int64_t out_width) {
    const ExpertLinear linear = {.weights = weights,
                                 .first_slot = args.first_slot,
                                 .x = x,
                                 .x_type = args.x_type,
                                 .x_width = x_width,
                                 .out = out,
                                 .out_width = out_width};
    if (args.type == PLIMSOLL_CUDA_INT4) {
      return LaunchByExpertGroups<Int4Tile<T>>(args, linear, stream);
    }
    if (args.type == PLIMSOLL_CUDA_INT8) {
      return LaunchByExpertGroups<Int8Tile<T>>(args, linear, stream);
    }
    return LaunchByExpertRows<PlainTile<T>, 1>(args, linear, stream);
  };
  const int slots = static_cast<int>(args.rows * args.choices);
  const auto group = [&] {
    return simt::Launch(&GroupChoices,
                        {.blocks_x = static_cast<int>(args.count), .threads = simt::kWarp}, stream,
                        args);
  };
  const auto gather = [&] {
    return simt::Launch(&GatherRows, {.blocks_x = slots, .threads = kGatherThreads}, stream, args);
  };
  const auto gate = [&] {
    return LaunchGatedActivation({.gate = args.gate,
                                  .up = args.up,
                                  .count = slots * args.width,
                                  .activation = args.activation,
                                  .out = args.gated,
                                  .out_type = args.x_type},
                                 stream);
  };
  const auto mix = [&] {
    return simt::Launch(&MixExperts,
                        {.blocks_x = static_cast<int>(args.rows), .threads = kMixThreads}, stream,
                        args);
  };
  // `experts` is an address of the device: its parts may be pointed at, not read.
  const PlimsollCudaWeight* const weights =
      reinterpret_cast<const PlimsollCudaWeight*>(args.experts);
  int error = group();
  if (error == 0) error = gather();
  if (error == 0) error = multiply(weights, args.gathered, args.hidden, args.gate, args.width);
  if (error == 0) error = multiply(weights + 1, args.gathered, args.hidden, args.up, args.width);
  if (error == 0) error = gate();
  if (error == 0) error = multiply(weights + 2, args.gated, args.width, args.mixed, args.hidden);
  return error != 0 ? error : mix();
}

}  // namespace plimsoll::cuda
