#include "kvcache/admission/output_lengths.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace plimsoll {
namespace {

constexpr double kPriorMean = 400;  // tokens
constexpr double kHeaviest = 1e100;

double WidthOf(int bin) {
  if (bin == OutputLengths::kBins - 1) return static_cast<double>(OutputLengths::StartOf(bin));
  return static_cast<double>(OutputLengths::StartOf(bin + 1) - OutputLengths::StartOf(bin));
}

}  // namespace

int OutputLengths::BinOf(int64_t age) {
  if (age < 8) return static_cast<int>(age);
  const int octave =
      static_cast<int>(std::bit_width(static_cast<uint64_t>(age))) - 1;  // at least 3
  const int quarter = static_cast<int>(age >> (octave - 2)) & 3;
  return std::min(8 + 4 * (octave - 3) + quarter, kBins - 1);
}

int64_t OutputLengths::StartOf(int bin) {
  if (bin < 8) return bin;
  const int octave = 3 + (bin - 8) / 4;
  return int64_t{4 + (bin - 8) % 4} << (octave - 2);
}

int64_t OutputLengths::EndOf(int bin) {
  return bin == kBins - 1 ? std::numeric_limits<int64_t>::max() : StartOf(bin + 1);
}

void OutputLengths::Ended(int bin) {
  ended_[static_cast<size_t>(bin)] += weight_;
  weight_ /= options_.kept;
  if (weight_ < kHeaviest) return;
  for (double& count : entered_) count /= weight_;
  for (double& count : ended_) count /= weight_;
  weight_ = 1;
}

double OutputLengths::EndingIn(int bin) const {
  const auto i = static_cast<size_t>(bin);
  const double prior = options_.prior == nullptr ? 1 - std::exp(-WidthOf(bin) / kPriorMean)
                                                 : options_.prior->EndingIn(bin);
  const double weight = options_.prior_requests;
  const double ended = std::min(ended_[i], entered_[i]) / weight_;
  return (ended + weight * prior) / (entered_[i] / weight_ + weight);
}

void OutputLengths::Learn() {
  // Rates of ending at each age of a bin, and their sums over the ages before it.
  std::array<double, kBins> rate = {};
  std::array<double, kBins> up_to = {};
  for (int bin = 0; bin < kBins; ++bin) {
    const auto i = static_cast<size_t>(bin);
    rate[i] = -std::log1p(-EndingIn(bin)) / WidthOf(bin);
    if (i > 0) up_to[i] = up_to[i - 1] + rate[i - 1] * WidthOf(bin - 1);
  }
  const auto sum = [&](double age) {
    const int bin = BinOf(static_cast<int64_t>(age));
    const auto i = static_cast<size_t>(bin);
    return up_to[i] + rate[i] * (age - static_cast<double>(StartOf(bin)));
  };
  for (int bin = 0; bin < kBins; ++bin) {
    const double age = static_cast<double>(StartOf(bin)) + (WidthOf(bin) - 1) / 2;
    for (size_t k = 0; k < kHorizons.size(); ++k) {
      survival_[static_cast<size_t>(bin)][k] =
          std::exp(sum(age) - sum(age + static_cast<double>(kHorizons[k])));
    }
  }
}

}  // namespace plimsoll
