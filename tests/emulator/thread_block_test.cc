// The emulator's own behaviour: order, waiting, shared memory, and every mistake it must report.
#include "tests/emulator/thread_block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "engine/ops/simt.cuh"

namespace plimsoll {
namespace {

using emulator::RunGrid;
using emulator::SetSeed;

constexpr int kThreads = 64;

void RunBlock(const std::function<void()>& body, int shared_bytes = 0) {
  RunGrid({{1, 1, 1}, kThreads, shared_bytes}, body);
}

TEST(ThreadBlock, RunsEveryThreadOfEveryBlockOnce) {
  std::multiset<int> seen;
  RunGrid({{2, 3, 2}, 32, 0}, [&] {
    const int block = simt::BlockX() + 2 * (simt::BlockY() + 3 * simt::BlockZ());
    seen.insert(block * 32 + simt::ThreadX());
    EXPECT_EQ(simt::BlocksX(), 2);
    EXPECT_EQ(simt::ThreadsX(), 32);
  });
  EXPECT_EQ(seen.size(), 12u * 32u);
  for (int i = 0; i < 12 * 32; ++i) EXPECT_EQ(seen.count(i), 1u) << i;
}

std::vector<int> OrderFor(uint64_t seed) {
  SetSeed(seed);
  std::vector<int> order;
  RunBlock([&] { order.push_back(simt::ThreadX()); });
  return order;
}

TEST(ThreadBlock, TheSeedDecidesTheOrder) {
  EXPECT_EQ(OrderFor(1), OrderFor(1));
  EXPECT_NE(OrderFor(1), OrderFor(2));
}

TEST(ThreadBlock, ABarrierShowsWhatOthersWroteBeforeIt) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SetSeed(seed);
    RunBlock(
        [] {
          int* const shared = simt::SharedMemory<int>();
          shared[simt::ThreadX()] = simt::ThreadX();
          simt::Synchronize();
          EXPECT_EQ(shared[kThreads - 1 - simt::ThreadX()], kThreads - 1 - simt::ThreadX());
        },
        kThreads * int{sizeof(int)});
  }
}

// The same without its barrier: some thread reads what nobody wrote, which is NaN.
TEST(ThreadBlock, AMissingBarrierShows) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SetSeed(seed);
    int unwritten = 0;
    RunBlock(
        [&] {
          float* const shared = simt::SharedMemory<float>();
          shared[simt::ThreadX()] = 1;
          unwritten += std::isnan(shared[kThreads - 1 - simt::ThreadX()]);
        },
        kThreads * int{sizeof(float)});
    EXPECT_GT(unwritten, 0);
  }
}

// Lanes that wait for each other many times before they write over what another warp may not have
// read yet: seen in the blocks whose warps run in turn.
TEST(ThreadBlock, AWarpMayRunFarAhead) {
  int too_late = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SetSeed(seed);
    RunBlock(
        [&] {
          int* const shared = simt::SharedMemory<int>();
          shared[simt::ThreadX()] = 1;
          simt::Synchronize();
          too_late += shared[kThreads - 1 - simt::ThreadX()] == 2;
          for (int i = 0; i < 50; ++i) simt::ShuffleXor(i, 1);
          shared[simt::ThreadX()] = 2;
        },
        kThreads * int{sizeof(int)});
  }
  EXPECT_GT(too_late, 0);
}

TEST(ThreadBlock, SharedMemoryIsNewForEveryBlock) {
  RunGrid({{3, 1, 1}, 32, 4}, [] {
    float* const shared = simt::SharedMemory<float>();
    EXPECT_TRUE(std::isnan(shared[0]));
    simt::Synchronize();
    shared[0] = 1;
  });
}

TEST(ThreadBlock, ExchangesOfDisjointMasksDoNotMeet) {
  RunBlock([] {
    const bool low = simt::ThreadX() % 32 < 16;
    const int rounds = low ? 5 : 2;
    float sum = 1;
    for (int i = 0; i < rounds; ++i) {
      sum += simt::ShuffleXor(sum, 1, low ? 0x0000ffffu : 0xffff0000u);
    }
    EXPECT_EQ(sum, low ? 32 : 4);
    EXPECT_EQ(simt::ShuffleXor(sum, 16), low ? 4 : 32);
  });
}

using ThreadBlockDeathTest = testing::Test;

// In functions of their own, because a macro's arguments are all of one line.
void WaitAtTwoPlaces() {
  if (simt::ThreadX() < 32) {
    simt::Synchronize();
  } else {
    simt::Synchronize();
  }
}

void ExchangeAtTwoPlaces() {
  if (simt::ThreadX() % 2 == 0) {
    simt::ShuffleXor(1.0f, 1);
  } else {
    simt::ShuffleXor(1.0f, 1);
  }
}

TEST(ThreadBlockDeathTest, BarriersAtTwoPlaces) {
  EXPECT_DEATH(RunBlock(&WaitAtTwoPlaces),
               "emulator: block .0, 0, 0. thread [0-9]+: reaches Synchronize "
               ".thread_block_test.cc:[0-9]+. while thread [0-9]+ waits at Synchronize");
}

TEST(ThreadBlockDeathTest, AThreadEndsWhileOthersWait) {
  EXPECT_DEATH(RunBlock([] {
                 if (simt::ThreadX() != 5) simt::Synchronize();
               }),
               "thread [0-9]+: (ends while others wait for it; threads .* wait at Synchronize|"
               "reaches Synchronize .* after other threads have ended)");
}

TEST(ThreadBlockDeathTest, ALaneEndsWhileItsWarpWaits) {
  EXPECT_DEATH(RunBlock([] {
                 if (simt::ThreadX() != 5) simt::ShuffleXor(1.0f, 1);
               }),
               "(thread 5: ends while others wait for it|of which thread 5 has ended)");
}

TEST(ThreadBlockDeathTest, ALaneOutsideItsMask) {
  EXPECT_DEATH(RunBlock([] { simt::ShuffleXor(1.0f, 1, 0x0000ffffu); }),
               "thread [0-9]+: is not in the mask 0x0000ffff of its own ShuffleXor");
}

TEST(ThreadBlockDeathTest, MasksThatDiffer) {
  EXPECT_DEATH(
      RunBlock([] { simt::ShuffleXor(1.0f, 1, simt::ThreadX() % 32 == 0 ? 0x3u : 0xffffffffu); }),
      "with mask 0x[0-9a-f]+ while thread [0-9]+ waits at ShuffleXor .* with mask 0x");
}

TEST(ThreadBlockDeathTest, AShuffleFromALaneOutsideTheMask) {
  EXPECT_DEATH(RunBlock([] {
                 if (simt::ThreadX() % 32 < 16) simt::ShuffleXor(1.0f, 16, 0x0000ffffu);
               }),
               "shuffle: lane 0 asks lane 16, which is not in the mask");
}

TEST(ThreadBlockDeathTest, ExchangesAtTwoPlaces) {
  EXPECT_DEATH(RunBlock(&ExchangeAtTwoPlaces),
               "reaches ShuffleXor .* while thread [0-9]+ waits at ShuffleXor");
}

// Half of the warp waits for the other half, which waits for everybody.
TEST(ThreadBlockDeathTest, ADeadlockSaysWhoWaitsWhere) {
  EXPECT_DEATH(RunGrid({{1, 1, 1}, 32, 0},
                       [] {
                         if (simt::ThreadX() < 16) simt::ShuffleXor(1.0f, 1);
                         simt::Synchronize();
                       }),
               "deadlock: threads 0-15 wait at ShuffleXor .thread_block_test.cc:[0-9]+.; threads "
               "16-31 wait at Synchronize");
}

#if defined(__SANITIZE_ADDRESS__)
#define PLIMSOLL_UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLIMSOLL_UNDER_ASAN 1
#endif
#endif

#ifdef PLIMSOLL_UNDER_ASAN
TEST(ThreadBlockDeathTest, OneBytePastSharedMemory) {
  EXPECT_DEATH(RunBlock([] { simt::SharedMemory<char>()[36 + simt::ThreadX() / 63] = 0; }, 37),
               "heap-buffer-overflow");
}
#endif

TEST(ThreadBlockDeathTest, PartOfAWarp) {
  EXPECT_DEATH(RunGrid({{1, 1, 1}, 40, 0}, [] {}), "threads % kLanes == 0");
}

TEST(ThreadBlockDeathTest, APrimitiveOutsideOfAKernel) {
  EXPECT_DEATH(simt::Synchronize(), "current != nullptr");
}

}  // namespace
}  // namespace plimsoll
