#include "kvcache/admission/stalled_holders.h"

namespace plimsoll {

void StalledHolders::Refused(int64_t number, int64_t seniority, Blocks lacks, Instant now) {
  owed_[number] = {.seniority = seniority, .blocks = lacks};
  by_seniority_[seniority] = number;
  lapses_.Set(number, now + kOwedFor);
}

void StalledHolders::Remove(int64_t number) {
  const auto found = owed_.find(number);
  if (found == owed_.end()) return;
  by_seniority_.erase(found->second.seniority);
  lapses_.Remove(number);
  owed_.erase(found);
}

Blocks StalledHolders::OwedBefore(int64_t seniority) const {
  if (by_seniority_.empty()) return Blocks(0);
  const auto& [first, number] = *by_seniority_.begin();
  return first < seniority ? owed_.at(number).blocks : Blocks(0);
}

}  // namespace plimsoll
