// The real module: on a machine without a GPU what it says, on one with a GPU its memory.
#include <gmock/gmock.h>

#include <string>

#include "engine/device/cuda_loader.h"
#include "tests/kvcache/pool/arena_conformance.h"

namespace plimsoll {
namespace {

const absl::StatusOr<std::unique_ptr<DeviceBackend>>& Gpu() {
  static const auto& gpu = *new absl::StatusOr<std::unique_ptr<DeviceBackend>>(
      LoadCudaBackendFrom({PLIMSOLL_MODULE_FOLDER "/libplimsoll_cuda.so"}));
  return gpu;
}

TEST(CudaModule, OpensAGpuOrSaysInOneLineWhyNot) {
  if (Gpu().ok()) return;
  const std::string why(Gpu().status().message());
  EXPECT_EQ(Gpu().status().code(), absl::StatusCode::kFailedPrecondition) << why;
  EXPECT_THAT(why, testing::AnyOf(testing::HasSubstr("no GPU: cudaGetDeviceCount: "),
                                  testing::HasSubstr("no CUDA module: not at ")));
  EXPECT_THAT(why, testing::Not(testing::HasSubstr("\n")));
}

// On a GPU other programs may come and go, so only what must be is compared.
TEST(CudaModule, MemoryTakenByAnArenaIsGoneFromTheDevice) {
  if (!Gpu().ok()) GTEST_SKIP() << Gpu().status().message();
  const DeviceBackend& gpu = **Gpu();
  const absl::StatusOr<DeviceMemory> before = gpu.Memory();
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_GT(before->free, Bytes(0));
  EXPECT_LE(before->free, before->total);
  EXPECT_EQ(gpu.CreateArena(before->total * 4, Bytes(int64_t{64} << 20))
                .value()
                ->Commit({.first = 0, .count = before->total * 2 / Bytes(int64_t{64} << 20)})
                .code(),
            absl::StatusCode::kResourceExhausted);
}

ArenaKind GpuKind() {
  return {.name = "Cuda",
          .chunk_bytes = (*Gpu())->ChunkGranule(),
          .create = [](Bytes max, Bytes chunk) { return (*Gpu())->CreateArena(max, chunk); },
          .write =
              [](std::byte* arena, const std::byte* host, size_t bytes) {
                const Bytes count(static_cast<int64_t>(bytes));
                EXPECT_TRUE((*Gpu())->CopyToDevice(arena, host, count).ok());
              },
          .read =
              [](std::byte* host, const std::byte* arena, size_t bytes) {
                const Bytes count(static_cast<int64_t>(bytes));
                EXPECT_TRUE((*Gpu())->CopyToHost(host, arena, count).ok());
              }};
}

// Where there is no GPU there is no kind to try; CudaModule above then says why.
std::vector<ArenaKind> Kinds() {
  if (!Gpu().ok()) return {};
  return {GpuKind()};
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ArenaConformance);
INSTANTIATE_TEST_SUITE_P(Cuda, ArenaConformance, testing::ValuesIn(Kinds()));

}  // namespace
}  // namespace plimsoll
