// How much longer a request that is still running will go on, learned from those before it.
//
// Ages (tokens generated so far) are in bins, four to an octave. For each bin it is counted how
// many requests generated a token at its first age and how many ended in it. A request that still
// runs, or that was cut off, counts for the bins it reached and says nothing about later ones, so
// long outputs are not overlooked because they end late. What was counted long ago counts less, so
// the forecast follows what clients do now.
//
// Where little was seen it leans on a prior, as if a few requests had gone through each bin as they
// do there; without one, as outputs of 400 tokens on average would.
//
// Threads: none; the owner serialises calls. Cost: O(1) per token and per end; Learn is
// O(bins x horizons). Nothing is allocated. Errors: none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace plimsoll {

class OutputLengths {
 public:
  static constexpr int kBins = 64;
  // Steps ahead that are looked at.
  static constexpr std::array<int64_t, 20> kHorizons = {
      1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024};
  using Survival = std::array<double, kHorizons.size()>;

  struct Options {
    const OutputLengths* prior = nullptr;  // outlives this
    double prior_requests = 5;             // what it weighs
    double kept = 0.998;                   // of the weight of what was counted, at each end
  };
  explicit OutputLengths(const Options& options) : options_(options) { Learn(); }

  // The bin of an age, the age at which a bin begins, and the first one after it.
  static int BinOf(int64_t age);
  static int64_t StartOf(int bin);
  static int64_t EndOf(int bin);

  // A request generated a token at the age at which this bin begins.
  void Entered(int bin) { entered_[static_cast<size_t>(bin)] += weight_; }
  // A request generated its last token at an age in this bin.
  void Ended(int bin);

  // The share of requests of an age in this bin that are still running so many steps later, as of
  // the last Learn.
  const Survival& Survivors(int bin) const { return survival_[static_cast<size_t>(bin)]; }
  void Learn();

 private:
  // The share of those that enter a bin that end in it.
  double EndingIn(int bin) const;

  const Options options_;
  double weight_ = 1;  // of what is counted now; what was counted before weighs less
  std::array<double, kBins> entered_ = {};
  std::array<double, kBins> ended_ = {};
  std::array<Survival, kBins> survival_ = {};
};

}  // namespace plimsoll
