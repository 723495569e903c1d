#include "kvcache/pool/reuse_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr double kHalfLife = 1500;        // requests
constexpr double kPriorWeight = 10;       // requests that what is known of the group is worth
constexpr double kUnknownChance = 0.01;   // before anything was counted
constexpr double kHighestChance = 0.999;  // nothing is certain

using Row = std::array<double, ReuseStatistics::kBins>;  // by bin

// A block kept from the start of `first` on is asked for sometime, at a rate that depends on when
// it is given up at the latest. The best of these rates.
double BestRate(const Row& chances, int first) {
  double best = 0, asked = 0, time = 0, left = 1;
  for (int bin = first; bin < ReuseStatistics::kBins; ++bin) {
    const double chance = std::min(chances[static_cast<size_t>(bin)], kHighestChance);
    const double length = ReuseStatistics::StartOf(bin + 1) - ReuseStatistics::StartOf(bin);
    asked += left * chance;
    time += left * length * (1 - chance / 2);  // who is asked for goes halfway, on average
    left *= 1 - chance;
    best = std::max(best, asked / time);
  }
  return best;
}

void Fade(Row& counts, double by) {
  for (double& count : counts) count *= by;
}

}  // namespace

ReuseStatistics::ReuseStatistics(std::vector<uint8_t> groups)
    : groups_(std::move(groups)),
      classes_(groups_.size()),
      group_counts_(1 + static_cast<size_t>(*std::max_element(groups_.begin(), groups_.end()))),
      worth_(groups_.size()),
      samples_(kRemembered),
      heads_(2 * kRemembered, 0) {
  Learn();
}

int ReuseStatistics::BinOf(uint32_t age) {
  return std::min(static_cast<int>(std::bit_width(age)), kBins - 1);
}

void ReuseStatistics::Advance(uint32_t now) {
  now_ = now;
  for (int bin = 0; bin < kBins; ++bin) {
    int64_t& reached = reached_[static_cast<size_t>(bin)];
    reached = std::max(reached, first_);
    for (; reached < end_; ++reached) {
      const Sample& sample = At(reached);
      if (now - sample.born < StartOf(bin)) break;
      if (sample.alive) CountAtRisk(sample, bin);
    }
  }
}

void ReuseStatistics::CountAtRisk(const Sample& sample, int bin) {
  const auto at = static_cast<size_t>(bin);
  classes_[sample.class_number].at_risk[at] += static_cast<double>(sample.weight);
  group_counts_[groups_[sample.class_number]].at_risk[at] += static_cast<double>(sample.weight);
  all_.at_risk[at] += static_cast<double>(sample.weight);
}

void ReuseStatistics::CountAsked(const Sample& sample, int bin) {
  const auto at = static_cast<size_t>(bin);
  classes_[sample.class_number].asked[at] += static_cast<double>(sample.weight);
  group_counts_[groups_[sample.class_number]].asked[at] += static_cast<double>(sample.weight);
  all_.asked[at] += static_cast<double>(sample.weight);
}

ReuseStatistics::Sample* ReuseStatistics::Find(uint64_t key) {
  for (uint32_t at = heads_[BucketOf(key)]; at != 0; at = samples_[at - 1].next) {
    if (samples_[at - 1].key == key) return &samples_[at - 1];
  }
  return nullptr;
}

void ReuseStatistics::Unlink(Sample& sample) {
  const auto self = static_cast<uint32_t>(&sample - samples_.data()) + 1;
  uint32_t* link = &heads_[BucketOf(sample.key)];
  while (*link != self) link = &samples_[*link - 1].next;
  *link = sample.next;
  sample.alive = false;
}

void ReuseStatistics::Asked(const PrefixKey& key) {
  Sample* const sample = Find(key.low);
  if (sample == nullptr) return;
  CountAsked(*sample, BinOf(now_ - sample->born));
  Unlink(*sample);
}

void ReuseStatistics::Remember(const PrefixKey& key, int class_number, float weight) {
  if (Sample* const earlier = Find(key.low)) Unlink(*earlier);
  if (end_ - first_ == kRemembered) {
    Sample& oldest = At(first_++);
    if (oldest.alive) Unlink(oldest);
  }
  Sample& sample = At(end_++);
  uint32_t& head = heads_[BucketOf(key.low)];
  sample = {.key = key.low,
            .born = now_,
            .next = head,
            .weight = weight,
            .class_number = static_cast<uint16_t>(class_number),
            .alive = true};
  head = static_cast<uint32_t>(&sample - samples_.data()) + 1;
}

ReuseStatistics::Chances ReuseStatistics::Lean(const Counts& counts, const Chances& prior) {
  Chances chances;
  for (size_t bin = 0; bin < kBins; ++bin) {
    chances[bin] =
        (counts.asked[bin] + kPriorWeight * prior[bin]) / (counts.at_risk[bin] + kPriorWeight);
  }
  return chances;
}

void ReuseStatistics::Learn() {
  const double fade = std::exp2(-static_cast<double>(now_ - learned_) / kHalfLife);
  learned_ = now_;
  Fade(all_.at_risk, fade);
  Fade(all_.asked, fade);
  Chances of_all;
  for (size_t bin = 0; bin < kBins; ++bin) {
    of_all[bin] = (all_.asked[bin] + kUnknownChance) / (all_.at_risk[bin] + 1);
  }
  for (Counts& group : group_counts_) {
    Fade(group.at_risk, fade);
    Fade(group.asked, fade);
    group.chances = Lean(group, of_all);
  }
  for (size_t i = 0; i < classes_.size(); ++i) {
    Fade(classes_[i].at_risk, fade);
    Fade(classes_[i].asked, fade);
    classes_[i].chances = Lean(classes_[i], group_counts_[groups_[i]].chances);
    for (int bin = 0; bin < kBins; ++bin) {
      worth_[i][static_cast<size_t>(bin)] = BestRate(classes_[i].chances, bin);
    }
  }
}

}  // namespace plimsoll
