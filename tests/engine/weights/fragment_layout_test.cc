// The layout that a GPU reads against the one of rows, with an inverse written from the header.
#include "engine/weights/fragment_layout.h"

#include <gtest/gtest.h>

#include "tests/engine/ops/quantised_problems.h"

namespace plimsoll {
namespace {

struct Fragments {
  std::vector<std::byte> data;
  std::vector<std::byte> scales;

  explicit Fragments(const QuantisedWeight& weight)
      : data(weight.bytes.size()), scales(weight.scales.size()) {
    ToFragments(weight.view, data.data(), scales.data());
  }
  int Byte(int64_t at) const { return std::to_integer<int>(data[static_cast<size_t>(at)]); }
  double Half(int64_t at) const { return ReadElement(scales.data(), ElementType::kFp16, at); }
};

// What the header says of one number, the other way round.
double ElementOf(const Fragments& from, const WeightView& like, int64_t row, int64_t col) {
  const bool int4 = like.type == ElementType::kInt4;
  const int64_t columns = int4 ? 64 : 32;
  const int64_t run = columns / 4;
  const int64_t in_block = col % columns;
  const int64_t lane = row % 8 * 4 + in_block / run;
  const int64_t step = in_block % run / 4;
  const int64_t in_step = in_block % 4;
  const int64_t reg = in_step / 2 * 2 + row % 16 / 8;
  const int64_t base = ((row / 16 * (like.cols / columns) + col / columns) * 32 + lane) * 16;
  const int64_t groups = CeilDivide(like.cols, like.group);
  const int64_t word = (row / 16 * groups + col / like.group) * 16 + row % 16;
  if (!int4) return from.Half(word) * (from.Byte(base + step * 8 + reg * 2 + in_step % 2) - 128);
  const int byte = from.Byte(base + step * 4 + in_step % 2 * 2 + reg / 2);
  const int q = reg % 2 == 0 ? byte & 15 : byte >> 4;
  return from.Half(2 * word) * (q + 1024 - from.Half(2 * word + 1));
}

// Of a 16 x 64 matrix of int4: lane 0 has rows 0 and 8, columns 0 to 15. Row 8 (register 1),
// column 1, is at bit 4 + 16 of the first word; row 0, column 6 (register 2 of step 1), at bit 8 of
// the second.
TEST(FragmentLayout, PutsInt4WhereALaneWantsThem) {
  std::mt19937 rng(1);
  QuantisedWeight weight(ElementType::kInt4, 16, 64, 64, rng);
  std::fill(weight.bytes.begin(), weight.bytes.end(), std::byte{0});
  weight.bytes[8 * 32] = std::byte{0xa0};
  weight.bytes[3] = std::byte{0x0b};
  const Fragments fragments(weight);
  for (int64_t i = 0; i < 16 * 32; ++i) {
    EXPECT_EQ(fragments.Byte(i), i == 2 ? 0xa0 : i == 5 ? 0x0b : 0) << i;
  }
}

// Of a 16 x 32 matrix of int8: lane 1 has columns 8 to 15. Row 0, column 14 is register 2 of step
// 1: byte 8 + 4 of the lane's, as 128 more.
TEST(FragmentLayout, PutsInt8WhereALaneWantsThem) {
  std::mt19937 rng(1);
  QuantisedWeight weight(ElementType::kInt8, 16, 32, 32, rng);
  std::fill(weight.bytes.begin(), weight.bytes.end(), std::byte{0});
  weight.bytes[14] = std::byte{0xfe};  // -2
  const Fragments fragments(weight);
  for (int64_t i = 0; i < 16 * 32; ++i) {
    EXPECT_EQ(fragments.Byte(i), i == 16 + 12 ? 126 : 128) << i;
  }
}

TEST(FragmentLayout, HasEveryElementOnce) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : {ElementType::kInt8, ElementType::kInt4}) {
    for (const int64_t cols : {64, 192, 320}) {
      for (const int64_t group : {int64_t{32}, int64_t{64}, int64_t{128}, cols}) {
        SCOPED_TRACE(testing::Message() << NameOf(type) << " 48x" << cols << " by " << group);
        const QuantisedWeight weight(type, 48, cols, group, rng);
        const Fragments fragments(weight);
        for (int64_t row = 0; row < 48; ++row) {
          for (int64_t col = 0; col < cols; ++col) {
            ASSERT_EQ(ElementOf(fragments, weight.view, row, col),
                      WeightElement(weight.view, row, col))
                << row << ", " << col;
          }
        }
      }
    }
  }
}

TEST(FragmentLayout, NeedsWholeTilesAndBlocks) {
  WeightView view{.type = ElementType::kInt4, .rows = 32, .cols = 128, .group = 128};
  EXPECT_TRUE(HasFragments(view));
  view.cols = 96;
  EXPECT_FALSE(HasFragments(view));
  view.type = ElementType::kInt8;
  EXPECT_TRUE(HasFragments(view));
  view.rows = 24;
  EXPECT_FALSE(HasFragments(view));
  view = {.type = ElementType::kBf16, .rows = 32, .cols = 128};
  EXPECT_FALSE(HasFragments(view));
}

TEST(FragmentLayoutDeathTest, AZeroThatIsNoIntegerAborts) {
  std::mt19937 rng(1);
  QuantisedWeight weight(ElementType::kInt4, 16, 64, 64, rng);
  WriteElement(weight.scales.data(), ElementType::kFp16, 1, 7.5f);
  EXPECT_DEATH(Fragments{weight}, "zero.*7.5");
}

}  // namespace
}  // namespace plimsoll
