// The sampler on CUDA: one block of threads a row, by the rule of sampling_rule.h.
//
// What is kept and what is drawn are found by one search (Select): of keys in falling order, the
// one at which a running sum of weights reaches a target. With keys by likelihood and a weight of
// one each it finds the last of the top k; with the weights of the logits, the last of the nucleus;
// with keys by token, the one drawn. A search reads the row once for four bits of the key and adds
// up, in shared memory, what each of the 16 values of those bits weighs; sums are whole numbers, so
// their order does not matter.
//
// Threads: 256. Cost: the row is read once for temperature 0, at most seven times more without
// top_k and top_p, and at most 15 more for each of those. Errors: none.
#pragma once

#include "engine/ops/elements_cuda.cuh"
#include "engine/ops/sampling_rule.h"

namespace plimsoll::cuda {

inline constexpr int kSampleThreads = 256;
inline constexpr int kDigitBits = 4;
inline constexpr int kDigits = 1 << kDigitBits;
inline constexpr int kThreadsPerDigit = kSampleThreads / kDigits;

// Shared by the block.
struct SampleSums {
  uint64_t of_thread[kDigits][kSampleThreads];
  uint64_t of_digit[kDigits];
};

// Over groups of 16 lanes.
SIMT_DEVICE uint64_t ShuffleXor64(uint64_t x, int lanes) {
  const uint32_t low = simt::ShuffleXor(static_cast<uint32_t>(x), lanes);
  const uint32_t high = simt::ShuffleXor(static_cast<uint32_t>(x >> 32), lanes);
  return static_cast<uint64_t>(high) << 32 | low;
}

// of_digit, from of_thread. Ends with all of it visible to all.
SIMT_DEVICE void AddUpDigits(SampleSums& sums) {
  simt::Synchronize();
  const int digit = simt::ThreadX() / kThreadsPerDigit;
  const int part = simt::ThreadX() % kThreadsPerDigit;
  uint64_t sum = 0;
  for (int t = part; t < kSampleThreads; t += kThreadsPerDigit) sum += sums.of_thread[digit][t];
  for (int lanes = kThreadsPerDigit / 2; lanes > 0; lanes /= 2) sum += ShuffleXor64(sum, lanes);
  if (part == 0) sums.of_digit[digit] = sum;
  simt::Synchronize();
}

// The largest key K such that what has a key of K or more weighs at least `target`; 0 if all of it
// weighs less. Keys have `bits` bits, a multiple of four.
template <class KeyOf, class Weight>
SIMT_DEVICE uint64_t Select(int vocab, int bits, uint64_t target, SampleSums& sums,
                            const KeyOf& key_of, const Weight& weight) {
  uint64_t found = 0;
  for (int shift = bits - kDigitBits; shift >= 0; shift -= kDigitBits) {
    for (int digit = 0; digit < kDigits; ++digit) sums.of_thread[digit][simt::ThreadX()] = 0;
    for (int token = simt::ThreadX(); token < vocab; token += kSampleThreads) {
      const uint64_t digits = key_of(token) >> shift;
      if (digits >> kDigitBits != found >> shift >> kDigitBits) continue;
      sums.of_thread[digits % kDigits][simt::ThreadX()] += weight(token);
    }
    AddUpDigits(sums);
    int digit = kDigits - 1;
    for (; digit > 0 && sums.of_digit[digit] < target; --digit) target -= sums.of_digit[digit];
    found |= static_cast<uint64_t>(digit) << shift;
  }
  return found;
}

// The sum of what the block's threads bring, for each of them.
SIMT_DEVICE uint64_t SumOverSampleBlock(uint64_t x, SampleSums& sums) {
  for (int digit = 0; digit < kDigits; ++digit) sums.of_thread[digit][simt::ThreadX()] = 0;
  sums.of_thread[0][simt::ThreadX()] = x;
  AddUpDigits(sums);
  return sums.of_digit[0];
}

// One row of logits and what may be drawn from it.
struct SampleRow {
  const float* logits;
  int vocab;
  int token_bits;  // enough for a token, a multiple of four
  float peak;
  float rate;
  uint64_t least;  // key that is kept

  // The more likely, the larger; of equal logits, the lower token's.
  SIMT_DEVICE uint64_t Likelihood(int token) const {
    return static_cast<uint64_t>(OrderOf(logits[token])) << token_bits | Place(token);
  }
  SIMT_DEVICE uint64_t Place(int token) const { return static_cast<uint64_t>(vocab - 1 - token); }
  SIMT_DEVICE uint64_t Weight(int token) const {
    return Likelihood(token) < least ? 0 : WeightOf(logits[token], peak, rate);
  }
  SIMT_DEVICE uint64_t TotalWeight(SampleSums& sums) const {
    uint64_t sum = 0;
    for (int token = simt::ThreadX(); token < vocab; token += kSampleThreads) sum += Weight(token);
    return SumOverSampleBlock(sum, sums);
  }
};

// The largest key of the row: its logit and token.
SIMT_DEVICE uint64_t BestOf(const SampleRow& row, SampleSums& sums) {
  uint64_t best = 0;
  for (int token = simt::ThreadX(); token < row.vocab; token += kSampleThreads) {
    const uint64_t key = row.Likelihood(token);
    best = key > best ? key : best;
  }
  sums.of_thread[0][simt::ThreadX()] = best;
  simt::Synchronize();
  for (int t = 0; t < kSampleThreads; ++t) {
    const uint64_t key = sums.of_thread[0][t];
    best = key > best ? key : best;
  }
  simt::Synchronize();
  return best;
}

SIMT_DEVICE void KeepMostLikely(SampleRow& row, const Draw& draw, SampleSums& sums) {
  const int bits = 32 + row.token_bits;
  const auto likelihood = [&](int token) { return row.Likelihood(token); };
  if (draw.top_k > 0) {
    row.least =
        Select(row.vocab, bits, draw.top_k, sums, likelihood, [](int) -> uint64_t { return 1; });
  }
  if (draw.share < kWholeShare) {
    const uint64_t wanted = NucleusWeight(row.TotalWeight(sums), draw.share);
    row.least = Select(row.vocab, bits, wanted, sums, likelihood,
                       [&](int token) { return row.Weight(token); });
  }
}

SIMT_DEVICE int DrawnFrom(const SampleRow& row, const Draw& draw, SampleSums& sums) {
  const uint64_t place = PlaceOf(draw, row.TotalWeight(sums));
  const uint64_t key = Select(
      row.vocab, row.token_bits, place + 1, sums, [&](int token) { return row.Place(token); },
      [&](int token) { return row.Weight(token); });
  return row.vocab - 1 - static_cast<int>(key);
}

SIMT_KERNEL(kSampleThreads)
SampleRows(PlimsollCudaSample args, int token_bits) {
  SampleSums& sums = *simt::SharedMemory<SampleSums>();
  const int r = simt::BlockX();
  const Draw draw = args.draws[r];
  SampleRow row = {.logits = args.logits + r * args.vocab,
                   .vocab = static_cast<int>(args.vocab),
                   .token_bits = token_bits,
                   .peak = 0,
                   .rate = draw.rate,
                   .least = 0};
  const uint64_t best = BestOf(row, sums);
  const auto order = static_cast<uint32_t>(best >> token_bits);
  int token = row.vocab - 1 - static_cast<int>(best & ((uint64_t{1} << token_bits) - 1));
  if (order == 0) token = kNoToken;
  if (draw.rate != 0 && IsOrderOfFinite(order)) {
    row.peak = LogitOf(order);
    KeepMostLikely(row, draw, sums);
    token = DrawnFrom(row, draw, sums);
  }
  if (simt::ThreadX() == 0) args.tokens[r] = token;
}

inline int LaunchSample(const PlimsollCudaSample& args, simt::Stream stream) {
  if (args.rows == 0) return 0;
  if (args.vocab <= 0 || args.vocab > kVocabMost) return kNoKernel;
  int token_bits = kDigitBits;
  while (args.vocab > int64_t{1} << token_bits) token_bits += kDigitBits;
  return simt::Launch(&SampleRows,
                      {.blocks_x = static_cast<int>(args.rows),
                       .threads = kSampleThreads,
                       .shared_bytes = static_cast<int>(sizeof(SampleSums))},
                      stream, args, token_bits);
}

}  // namespace plimsoll::cuda
