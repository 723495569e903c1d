#include "rpc/client_outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace plimsoll {
namespace {

using testing::ElementsAre;
using Numbers = std::vector<uint64_t>;

Numbers Many(uint64_t first, size_t count) {
  Numbers numbers(count);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

class ClientOutboxTest : public testing::Test {
 protected:
  void Add(Asker asker, Numbers numbers) {
    outbox_.Add({.numbers = std::move(numbers), .asker = asker});
  }
  // Sends what may be sent, message by message, and says what that was.
  Numbers SendAll() {
    Numbers sent;
    while (outbox_.MayTake()) {
      size_t room = kMostInOneMessage;
      while (const auto group = outbox_.Take(room)) {
        for (const uint64_t number : group->numbers) {
          outbox_.Sent(group->asker);
          sent.push_back(number);
        }
        room -= group->numbers.size();
      }
    }
    return sent;
  }

  ClientOutbox outbox_;
};

TEST_F(ClientOutboxTest, HoldersComeFirstAndEachKindInItsOrder) {
  EXPECT_FALSE(outbox_.MayTake());
  Add(Asker::kNewcomer, {1});
  Add(Asker::kHolder, {2, 3});
  Add(Asker::kNewcomer, {4});
  Add(Asker::kHolder, {5});
  EXPECT_THAT(SendAll(), ElementsAre(2, 3, 5, 1, 4));
}

TEST_F(ClientOutboxTest, AGroupGoesInOneMessage) {
  Add(Asker::kHolder, Many(1, 200));
  Add(Asker::kHolder, Many(201, 57));
  EXPECT_EQ(outbox_.Take(kMostInOneMessage)->numbers.size(), 200u);
  EXPECT_FALSE(outbox_.Take(56).has_value());
  EXPECT_TRUE(outbox_.MayTake()) << "the next message has room";
  EXPECT_EQ(outbox_.Take(57)->numbers.front(), 201u);
}

TEST_F(ClientOutboxTest, NewcomersLeaveAMessageToHolders) {
  for (uint64_t i = 1; i <= 4000; ++i) Add(Asker::kNewcomer, {i});
  EXPECT_EQ(SendAll(), Many(1, 3840));
  Add(Asker::kHolder, Many(5001, 256));
  Add(Asker::kHolder, {6001});
  EXPECT_EQ(SendAll(), Many(5001, 256)) << "4096 have no result";
  outbox_.Answered(Asker::kNewcomer);
  EXPECT_THAT(SendAll(), ElementsAre(6001));
  for (int i = 0; i < 257; ++i) outbox_.Answered(Asker::kHolder);
  EXPECT_THAT(SendAll(), ElementsAre(3841));
}

TEST_F(ClientOutboxTest, AnotherStreamIsAskedAgainFirst) {
  for (uint64_t i = 1; i <= 4; ++i) Add(Asker::kNewcomer, {i});
  Add(Asker::kHolder, {5});
  SendAll();
  Add(Asker::kNewcomer, {6, 7});
  Add(Asker::kHolder, {8});
  outbox_.BeginStream({5}, {2, 4});
  EXPECT_THAT(outbox_.Take(1)->numbers, ElementsAre(5));
  outbox_.BeginStream({5}, {2, 4});
  EXPECT_THAT(SendAll(), ElementsAre(5, 8, 2, 4, 6, 7)) << "each once";
  for (uint64_t i = 1; i <= 4000; ++i) Add(Asker::kNewcomer, {i});
  EXPECT_EQ(SendAll().size(), 3840u - 6);
  outbox_.BeginStream({}, {});
  EXPECT_EQ(SendAll().size(), 4000u - (3840u - 6)) << "nothing is unanswered over this one";
}

}  // namespace
}  // namespace plimsoll
