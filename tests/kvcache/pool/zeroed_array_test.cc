#include "kvcache/pool/zeroed_array.h"

#include <gmock/gmock.h>

#include <utility>

namespace plimsoll {
namespace {

TEST(ZeroedArray, HoldsZerosFromACacheLineOn) {
  for (const size_t size : {size_t{1}, size_t{1000}, size_t{3} << 20}) {
    ZeroedArray<int32_t> array(size);
    ASSERT_TRUE(array);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(array.data()) % 64, 0u) << size;
    EXPECT_EQ(array[0], 0);
    EXPECT_EQ(array[size - 1], 0);
    array[size - 1] = 7;
    const ZeroedArray<int32_t> moved = std::move(array);
    EXPECT_EQ(moved[size - 1], 7);
  }
}

TEST(ZeroedArray, IsEmptyWithoutMemory) {
  EXPECT_FALSE(ZeroedArray<int32_t>());
  EXPECT_FALSE(ZeroedArray<int64_t>(std::numeric_limits<size_t>::max() / 4)) << "more than exists";
  EXPECT_FALSE(ZeroedArray<int8_t>(std::numeric_limits<size_t>::max())) << "no room to align";
}

}  // namespace
}  // namespace plimsoll
