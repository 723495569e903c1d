// Each primitive against values worked by hand.
#include "engine/ops/simt.cuh"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/emulator/thread_block.h"

namespace plimsoll {
namespace {

void RunWarp(const std::function<void()>& body) { emulator::RunGrid({{1, 1, 1}, 32, 0}, body); }

template <class T>
uint32_t Pair(float low, float high) {
  const T pair[2] = {T(low), T(high)};
  uint32_t word;
  std::memcpy(&word, pair, sizeof word);
  return word;
}

TEST(Simt, LaunchRunsAKernelWithItsArguments) {
  struct Kernel {
    static SIMT_KERNEL(32, 1) Double(const float* in, float* out) {
      const int i = simt::BlockX() * simt::ThreadsX() + simt::ThreadX();
      out[i] = 2 * in[i];
    }
  };
  float in[64];
  float out[64];
  for (int i = 0; i < 64; ++i) in[i] = static_cast<float>(i);
  EXPECT_EQ(simt::Launch(&Kernel::Double, {.blocks_x = 2, .threads = 32}, nullptr, in, out), 0);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], 2.0f * static_cast<float>(i));
}

TEST(Simt, Load16ReadsFourWords) {
  alignas(16) const uint32_t words[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  const uint4 loaded = simt::Load16(words + 4);
  EXPECT_EQ(loaded.x, 4u);
  EXPECT_EQ(loaded.y, 5u);
  EXPECT_EQ(loaded.z, 6u);
  EXPECT_EQ(loaded.w, 7u);
}

TEST(Simt, Load16IfReadsNothingWhereNotWanted) {
  const uint4 loaded = simt::Load16If(false, nullptr);
  EXPECT_EQ(loaded.x | loaded.y | loaded.z | loaded.w, 0u);
  alignas(16) const uint32_t words[4] = {9, 8, 7, 6};
  EXPECT_EQ(simt::Load16If(true, words).w, 6u);
}

// Until it is awaited, what is copied to is NaN; of two groups the first may be awaited alone.
TEST(Simt, ACopyIsThereWhenItsGroupWasAwaited) {
  alignas(16) static const uint32_t words[4] = {9, 8, 7, 6};
  alignas(16) static uint32_t to[8];
  RunWarp([] {
    if (simt::ThreadX() != 0) return;
    simt::CopyAsync<16>(true, to, words);
    simt::EndCopies();
    simt::CopyAsync<8>(false, to + 4, nullptr);
    simt::CopyAsync<4>(true, to + 6, words + 1);
    simt::EndCopies();
    EXPECT_EQ(to[0], 0xffffffffu);
    simt::AwaitCopies<1>();
    EXPECT_EQ(to[0], 9u);
    EXPECT_EQ(to[3], 6u);
    EXPECT_EQ(to[4], 0xffffffffu);
    simt::AwaitCopies<0>();
    EXPECT_EQ(to[4] | to[5], 0u);
    EXPECT_EQ(to[6], 8u);
  });
}

TEST(Simt, SmallerLoadsReadNothingWhereNotWanted) {
  alignas(16) const uint32_t words[4] = {9, 8, 7, 6};
  EXPECT_EQ(simt::Load8If(true, words + 2).x, 7u);
  EXPECT_EQ(simt::Load8If(true, words + 2).y, 6u);
  EXPECT_EQ(simt::Load4If(true, words + 1), 8u);
  EXPECT_EQ(simt::Load8If(false, nullptr).x | simt::Load8If(false, nullptr).y, 0u);
  EXPECT_EQ(simt::Load4If(false, nullptr), 0u);
}

TEST(SimtDeathTest, LoadsWantAnAlignedAddress) {
  alignas(16) const uint32_t words[8] = {};
  EXPECT_DEATH(RunWarp([&] { simt::Load8If(true, words + 1); }),
               "thread [0-9]+: Load8If: the address is 4 past a multiple of 8");
  EXPECT_DEATH(RunWarp([&] { simt::Load16(words + 1); }),
               "thread [0-9]+: Load16: the address is 4 past a multiple of 16");
}

TEST(Simt, ShuffleXorBringsTheValueOfTheOtherLane) {
  RunWarp([] {
    EXPECT_EQ(simt::ShuffleXor(simt::ThreadX(), 1), simt::ThreadX() ^ 1);
    EXPECT_EQ(simt::ShuffleXor(simt::ThreadX(), 20), simt::ThreadX() ^ 20);
    EXPECT_EQ(simt::ShuffleXor(static_cast<float>(simt::ThreadX()), 31),
              static_cast<float>(31 - simt::ThreadX()));
  });
}

TEST(Simt, ShuffleFromBringsTheValueThatEachLaneAsksFor) {
  RunWarp([] {
    const int wanted = simt::ThreadX() % 4 * 8;
    EXPECT_EQ(simt::ShuffleFrom(100 + simt::ThreadX(), wanted), 100 + wanted);
  });
}

TEST(Simt, PermuteBytesPicksFromEight) {
  EXPECT_EQ(simt::PermuteBytes(0x33221100, 0x77665544, 0x5410), 0x55441100u);
  EXPECT_EQ(simt::PermuteBytes(0x33221100, 0x77665544, 0x7632), 0x77663322u);
  EXPECT_EQ(simt::PermuteBytes(0x33221100, 0x77665544, 0x5150), 0x55115500u);
}

TEST(Simt, AndOrKeepsAndSets) {
  EXPECT_EQ(simt::AndOr(0xabcd1234, 0x000f000f, 0x64006400), 0x640d6404u);
}

TEST(Simt, SubtractHalvesDoesBoth) {
  EXPECT_EQ(simt::SubtractHalves(Pair<__half>(1027, 3), Pair<__half>(1024, -0.5f)),
            Pair<__half>(3, 3.5f));
  EXPECT_EQ(simt::SubtractHalves(Pair<__half>(2048, -65504), Pair<__half>(-1, 65504)),
            Pair<__half>(2048, -INFINITY));  // a tie goes to the even, and too much is infinite
}

TEST(Simt, PowerOfTwoKnowsItsEnds) {
  EXPECT_EQ(simt::PowerOfTwo(0), 1.0f);
  EXPECT_EQ(simt::PowerOfTwo(-3), 0.125f);
  EXPECT_EQ(simt::PowerOfTwo(-126), 0x1p-126f);
  EXPECT_EQ(simt::PowerOfTwo(-127), 0.0f);  // would be a denormal
  EXPECT_EQ(simt::PowerOfTwo(-INFINITY), 0.0f);
  EXPECT_EQ(simt::PowerOfTwo(128), INFINITY);
  EXPECT_TRUE(std::isnan(simt::PowerOfTwo(NAN)));
}

// Element (row, column) is 8 row + column.
TEST(Simt, TransposeSwapsRowsAndColumns) {
  RunWarp([] {
    const auto element = [](int row, int column) {
      return static_cast<uint32_t>(8 * row + column);
    };
    const int g = simt::ThreadX() / 4;
    const int t = simt::ThreadX() % 4;
    const uint32_t pair = element(g, 2 * t) | element(g, 2 * t + 1) << 16;
    EXPECT_EQ(simt::Transpose(pair), element(2 * t, g) | element(2 * t + 1, g) << 16);
  });
}

// A is a diagonal of 1, 2, ... 16, B[k][n] = 8 k + n, C[m][n] = 1000 (m == n): so
// D[m][n] = (m + 1) (8 m + n) + C[m][n], and each of those is exact in both types.
template <class T>
void MultiplyDiagonal() {
  const auto a = [](int row, int k) { return row == k ? static_cast<float>(row + 1) : 0.0f; };
  const auto b = [](int k, int column) { return static_cast<float>(8 * k + column); };
  const int g = simt::ThreadX() / 4;
  const int t = 2 * (simt::ThreadX() % 4);
  const uint32_t left[4] = {Pair<T>(a(g, t), a(g, t + 1)), Pair<T>(a(g + 8, t), a(g + 8, t + 1)),
                            Pair<T>(a(g, t + 8), a(g, t + 9)),
                            Pair<T>(a(g + 8, t + 8), a(g + 8, t + 9))};
  const uint32_t right[2] = {Pair<T>(b(t, g), b(t + 1, g)), Pair<T>(b(t + 8, g), b(t + 9, g))};
  float c[4] = {g == t ? 1000.0f : 0, g == t + 1 ? 1000.0f : 0, 0, 0};
  simt::MultiplyAdd<T>(c, left, right);
  for (int i = 0; i < 4; ++i) {
    const int row = g + 8 * (i / 2);
    const int column = t + i % 2;
    EXPECT_EQ(c[i], static_cast<float>((row + 1) * (8 * row + column) + 1000 * (row == column)));
  }
}

TEST(Simt, MultiplyAddTakesFragmentsAsTheManualSays) {
  RunWarp(&MultiplyDiagonal<__half>);
  RunWarp(&MultiplyDiagonal<__nv_bfloat16>);
}

}  // namespace
}  // namespace plimsoll
