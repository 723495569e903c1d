// How likely blocks are to be asked for again, by class and age, learned from a sample of them.
//
// Some of the blocks that are let go are remembered, by key, whether or not they stay in the cache:
// that is how the reuse of what was evicted is seen too. For each class and each age it is counted
// how many of them reached that age unasked (at risk), and how many were asked for in it. What has
// been forgotten or let go anew counts as at risk up to then and no further.
//
// Time is counted in requests. Ages are in bins that double: 0, 1, 2-3, 4-7, ... What was counted
// 1500 requests ago counts half.
//
// Worth(class, bin) is the highest rate, in requests asked for per unit of time, that keeping a
// block of this class and age can earn if it may be given up at the end of any later bin. With few
// counts it leans on what its group did, and that on what all blocks did.
//
// Threads: none; the owner serialises calls. Cost: Asked and Remember O(1); Advance O(bins) and
// amortised O(bins) per block remembered; Learn O(classes x bins^2). Nothing is allocated after it
// is made; about 1.3 MiB. Errors: none.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kvcache/pool/prefix_key.h"

namespace plimsoll {

class ReuseStatistics {
 public:
  static constexpr int kBins = 14;  // of age; the last one has no end
  static constexpr int kRemembered = 32768;

  // `groups` says for each class which group it belongs to; both count from zero.
  explicit ReuseStatistics(std::vector<uint8_t> groups);

  // The bin of an age, and where a bin begins.
  static int BinOf(uint32_t age);
  static uint32_t StartOf(int bin) { return bin == 0 ? 0 : uint32_t{1} << (bin - 1); }

  // Now is `now`; never earlier than before (but it may wrap).
  void Advance(uint32_t now);
  // Somebody asks for this block.
  void Asked(const PrefixKey& key);
  // A block of this class was let go now; it counts for `weight`.
  void Remember(const PrefixKey& key, int class_number, float weight);

  // Takes what was counted since into account.
  void Learn();
  double Worth(int class_number, int bin) const {
    return worth_[static_cast<size_t>(class_number)][static_cast<size_t>(bin)];
  }

 private:
  // What was counted of one class, one group, or all.
  struct Counts {
    std::array<double, kBins> at_risk = {};
    std::array<double, kBins> asked = {};
    std::array<double, kBins> chances = {};  // of being asked for in a bin, once reached
  };
  struct Sample {
    uint64_t key;
    uint32_t born;
    uint32_t next;  // in its bucket: its index plus one
    float weight;
    uint16_t class_number;
    bool alive;  // neither asked for nor replaced
  };
  using Chances = std::array<double, kBins>;

  size_t BucketOf(uint64_t key) const { return key % heads_.size(); }
  Sample& At(int64_t number) { return samples_[static_cast<size_t>(number % kRemembered)]; }
  Sample* Find(uint64_t key);
  void Unlink(Sample& sample);
  void CountAtRisk(const Sample& sample, int bin);
  void CountAsked(const Sample& sample, int bin);
  static Chances Lean(const Counts& counts, const Chances& prior);

  const std::vector<uint8_t> groups_;  // by class
  std::vector<Counts> classes_;
  std::vector<Counts> group_counts_;
  Counts all_;
  std::vector<std::array<double, kBins>> worth_;  // by class

  // A ring of the latest kRemembered samples, in order of birth, and a hash table of them.
  std::vector<Sample> samples_;
  std::vector<uint32_t> heads_;
  int64_t first_ = 0;
  int64_t end_ = 0;
  std::array<int64_t, kBins> reached_ = {};  // samples before this one have reached the bin
  uint32_t now_ = 0;
  uint32_t learned_ = 0;  // when
};

}  // namespace plimsoll
