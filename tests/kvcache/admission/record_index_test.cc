// Numbers and what they name: the ring, those too old for it, and who is held.
#include "kvcache/admission/record_index.h"

#include <gmock/gmock.h>

#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kvcache/admission/reservation_book.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class RecordIndexTest : public testing::Test {
 protected:
  ReservationRecord& Add() {
    ReservationRecord& record = records_.emplace_back();
    record.number = index_.next_number();
    index_.Add(&record);
    return record;
  }
  std::vector<int64_t> HeldAfter(int64_t number, size_t most = SIZE_MAX) {
    std::vector<int64_t> seen;
    index_.SeeHeldAfter(number, [&](const ReservationRecord& record) {
      if (seen.size() == most) return false;
      seen.push_back(record.number);
      return true;
    });
    return seen;
  }

  RecordIndex index_;
  std::deque<ReservationRecord> records_;
};

TEST_F(RecordIndexTest, NamesWhatWasAddedUntilItIsRemoved) {
  EXPECT_EQ(index_.Find(1), nullptr);
  const ReservationRecord& first = Add();
  const ReservationRecord& second = Add();
  EXPECT_EQ(index_.Find(1), &first);
  EXPECT_EQ(index_.Find(2), &second);
  for (const int64_t never : {int64_t{0}, int64_t{3}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(index_.Find(never), nullptr) << never;
    EXPECT_EQ(HeldAfter(never).size(), never < 1 ? 2 : 0) << never;
  }
  index_.SetEnded(1);
  EXPECT_EQ(index_.Find(1), &first) << "known still";
  EXPECT_THAT(HeldAfter(0), ElementsAre(2));
  index_.Remove(1);
  EXPECT_EQ(index_.Find(1), nullptr);
}

TEST_F(RecordIndexTest, ANumberThatIsTakenBackIsGivenAgain) {
  Add();
  Add();
  index_.Remove(2);
  index_.TakeBackLatest();
  EXPECT_EQ(index_.Find(2), nullptr);
  const ReservationRecord& other = Add();
  EXPECT_EQ(other.number, 2);
  EXPECT_EQ(index_.Find(2), &other);
  EXPECT_THAT(HeldAfter(0), ElementsAre(1, 2));
}

// One that stays while hundreds of thousands come and go is found all the same.
TEST_F(RecordIndexTest, OneThatIsMuchOlderThanTheRestStaysKnownAndHeld) {
  const ReservationRecord& old = Add();
  ReservationRecord record;
  for (int i = 0; i < 300'000; ++i) {
    record.number = index_.next_number();
    index_.Add(&record);
    index_.Remove(record.number);
  }
  EXPECT_EQ(index_.Find(1), &old);
  EXPECT_THAT(HeldAfter(0), ElementsAre(1));
  EXPECT_THAT(HeldAfter(1), IsEmpty());
  index_.SetEnded(1);
  EXPECT_THAT(HeldAfter(0), IsEmpty());
  EXPECT_EQ(index_.Find(1), &old);
  index_.Remove(1);
  EXPECT_EQ(index_.Find(1), nullptr);
}

// Beside a map, through bursts and lulls: most are removed soon, some stay for long.
TEST_F(RecordIndexTest, IsWhatAMapWouldBe) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::map<int64_t, bool> held;  // of all that are known
  for (int step = 0; step < 30'000; ++step) {
    const bool burst = step / 1000 % 2 == 0;
    if (random() % 10 < (burst ? 7U : 3U)) {
      held.emplace(Add().number, true);
    } else if (!held.empty()) {
      const bool latest = random() % 4 != 0;
      const int64_t from = latest ? held.rbegin()->first - static_cast<int64_t>(random() % 50) : 0;
      const auto found = held.lower_bound(from);
      if (found->second) {
        index_.SetEnded(found->first);
        found->second = false;
      } else {
        index_.Remove(found->first);
        held.erase(found);
      }
    }
    if (step % 100 != 0) continue;
    const int64_t after = static_cast<int64_t>(random()) % (index_.next_number() + 1);
    std::vector<int64_t> want;
    for (auto it = held.upper_bound(after); it != held.end() && want.size() < 20; ++it) {
      if (it->second) want.push_back(it->first);
    }
    ASSERT_EQ(HeldAfter(after, 20), want) << step;
    const int64_t number = 1 + static_cast<int64_t>(random()) % index_.next_number();
    ASSERT_EQ(index_.Find(number) != nullptr, held.contains(number)) << number;
    size_t seen = 0;
    index_.SeeAll([&](const ReservationRecord& record) { seen += held.contains(record.number); });
    ASSERT_EQ(seen, held.size());
  }
}

TEST_F(RecordIndexTest, RemovingWhatIsNotThereAborts) {
  EXPECT_DEATH(index_.Remove(1), "check failed");
  Add();
  EXPECT_DEATH(index_.TakeBackLatest(), "check failed");
}

}  // namespace
}  // namespace plimsoll
