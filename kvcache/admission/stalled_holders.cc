#include "kvcache/admission/stalled_holders.h"

namespace plimsoll {

void StalledHolders::Refused(int64_t number, int64_t seniority, Blocks lacks, Instant now) {
  Owed& owed = owed_[number];
  owed.seniority = seniority;
  owed.blocks = lacks;
  by_seniority_[seniority] = number;
  lapses_.Set(number, owed.lapse, now + kOwedFor);
}

void StalledHolders::Remove(int64_t number) {
  const auto found = owed_.find(number);
  if (found == owed_.end()) return;
  by_seniority_.erase(found->second.seniority);
  lapses_.Remove(number, found->second.lapse);
  owed_.erase(found);
}

Blocks StalledHolders::OwedBefore(int64_t seniority) const {
  if (by_seniority_.empty()) return Blocks(0);
  const auto& [first, number] = *by_seniority_.begin();
  return first < seniority ? owed_.at(number).blocks : Blocks(0);
}

}  // namespace plimsoll
