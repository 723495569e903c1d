// Which sequence has to stop.
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kvcache/admission/victim.h"

namespace plimsoll {
namespace {

TEST(Victim, TheNewestIsTheOneThatCameLast) {
  const std::vector<VictimCandidate> running = {
      {5, Tokens(10), Blocks(1)}, {9, Tokens(90), Blocks(6)}, {7, Tokens(1), Blocks(9)}};
  EXPECT_EQ(ChooseVictim(VictimRule::kNewest, running, Blocks(1)), 1u);
}

TEST(Victim, TheCheapestGivesMostForWhatIsComputedAgain) {
  // 100 tokens for 5 blocks, 90 for 6, 30 for 1 (the rest is shared), and the oldest is spared.
  const std::vector<VictimCandidate> running = {{1, Tokens(1), Blocks(9)},
                                                {2, Tokens(100), Blocks(5)},
                                                {3, Tokens(90), Blocks(6)},
                                                {4, Tokens(30), Blocks(1)}};
  EXPECT_EQ(ChooseVictim(VictimRule::kCheapest, running, Blocks(1)), 2u);
}

// The second would be cheapest but makes little room; of the two that make enough the third is.
TEST(Victim, TheCheapestMakesAsMuchRoomAsIsWantedIfAnybodyDoes) {
  const std::vector<VictimCandidate> running = {{1, Tokens(1), Blocks(90)},
                                                {2, Tokens(17), Blocks(2)},
                                                {3, Tokens(100), Blocks(7)},
                                                {4, Tokens(160), Blocks(10)}};
  const auto wanting = [&](int64_t blocks) {
    return ChooseVictim(VictimRule::kCheapest, running, Blocks(blocks));
  };
  EXPECT_EQ(wanting(2), 1u);
  EXPECT_EQ(wanting(5), 2u);
  EXPECT_EQ(wanting(8), 3u);
  EXPECT_EQ(wanting(50), 3u) << "nobody does, and this one makes most";
}

TEST(Victim, TheOneThatCameFirstIsSparedWhereverItStands) {
  const std::vector<VictimCandidate> running = {
      {7, Tokens(900), Blocks(2)}, {8, Tokens(800), Blocks(2)}, {3, Tokens(1), Blocks(2)}};
  EXPECT_EQ(ChooseVictim(VictimRule::kCheapest, running, Blocks(1)), 1u);
}

TEST(Victim, WhoStoppedBeforeIsSparedAndOfEqualsTheNewestStops) {
  std::vector<VictimCandidate> running = {{1, Tokens(160), Blocks(10)},
                                          {2, Tokens(16), Blocks(2), 1},
                                          {3, Tokens(160), Blocks(10)},
                                          {4, Tokens(32), Blocks(2)}};
  EXPECT_EQ(ChooseVictim(VictimRule::kCheapest, running, Blocks(1)), 3u);
  running.pop_back();
  EXPECT_EQ(ChooseVictim(VictimRule::kCheapest, running, Blocks(1)), 2u);
  running.pop_back();
  EXPECT_EQ(ChooseVictim(VictimRule::kCheapest, running, Blocks(1)), 1u);
  running.pop_back();
  EXPECT_EQ(ChooseVictim(VictimRule::kCheapest, running, Blocks(1)), 0u);
  EXPECT_EQ(VictimRuleFromName("cheapest"), VictimRule::kCheapest);
  EXPECT_EQ(VictimRuleFromName("oldest"), std::nullopt);
}

}  // namespace
}  // namespace plimsoll
