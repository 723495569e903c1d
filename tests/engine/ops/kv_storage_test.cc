// What kernels make of stored bytes: all of them, against CUDA's own conversion and plain integers.
#include "engine/ops/kv_storage_cuda.cuh"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/ops/float16.h"

namespace plimsoll::cuda {
namespace {

constexpr int kBytes = 256;

// Element `i` of a word, in units of kFactor and from kCentre on.
template <PlimsollCudaType kType>
float Unpacked(uint32_t word, int i) {
  using Storage = KvStorage<kType>;
  uint32_t pairs[Storage::kPairs];
  Storage::Unpack(word, pairs);
  for (int pair = 0; pair < Storage::kPairs; ++pair) {
    for (int half = 0; half < 2; ++half) {
      if (Storage::Element(pair, half) != i) continue;
      const auto bits = static_cast<uint16_t>(pairs[pair] >> (16 * half));
      return FloatFromFp16(bits) * Storage::kFactor + Storage::kCentre;
    }
  }
  ADD_FAILURE() << "no pair holds element " << i;
  return 0;
}

TEST(KvStorage, EveryInt8IsExact) {
  for (int byte = 0; byte < kBytes; ++byte) {
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = (0x5aa5c33cu & ~(0xffu << (8 * i))) | static_cast<uint32_t>(byte)
                                                                      << (8 * i);
      EXPECT_EQ(Unpacked<PLIMSOLL_CUDA_INT8>(word, i), static_cast<float>(byte));
    }
  }
}

TEST(KvStorage, EveryInt4IsExact) {
  const uint32_t word = 0x76543210;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(Unpacked<PLIMSOLL_CUDA_INT4>(word, i), static_cast<float>(i));
    EXPECT_EQ(Unpacked<PLIMSOLL_CUDA_INT4>(~word, i), static_cast<float>(15 - i));
  }
}

TEST(KvStorage, EveryFp8IsExact) {
  for (int byte = 0; byte < kBytes; ++byte) {
    __nv_fp8_e4m3 stored;
    stored.__x = static_cast<__nv_fp8_storage_t>(byte);
    const auto want = static_cast<float>(stored);
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = static_cast<uint32_t>(byte) << (8 * i);
      const float got = Unpacked<PLIMSOLL_CUDA_FP8>(word, i);
      EXPECT_TRUE(got == want || (std::isnan(got) && std::isnan(want))) << byte << " is " << got;
    }
  }
}

TEST(KvStorage, AWordIsScaleAndZero) {
  const uint32_t word = Fp16FromFloat(0.5f) | static_cast<uint32_t>(Fp16FromFloat(-3)) << 16;
  const ScaleZero int8 = ScaleZeroOf<KvStorage<PLIMSOLL_CUDA_INT8>>(word);
  EXPECT_EQ(int8.scale, 0.5f);
  EXPECT_EQ(int8.zero, -3 + 128 * 0.5f);
}

}  // namespace
}  // namespace plimsoll::cuda
