// The program's side of a CUDA arena, over a module in host memory.
#include "engine/device/cuda_arena.h"

#include <gmock/gmock.h>

#include <string>

#include "engine/device/cuda_loader.h"
#include "tests/kvcache/pool/arena_conformance.h"

namespace plimsoll {
namespace {

constexpr Bytes kMebibyte(1 << 20);

const DeviceBackend& Fake() {
  static const std::unique_ptr<DeviceBackend>& backend = *new std::unique_ptr<DeviceBackend>(
      *LoadCudaBackendFrom({PLIMSOLL_FAKE_MODULES "/libfake_cuda.so"}));
  return *backend;
}

ArenaKind FakeKind() {
  return {.name = "FakeCuda",
          .chunk_bytes = Bytes(4096),
          .create = [](Bytes max, Bytes chunk) { return Fake().CreateArena(max, chunk); },
          .write =
              [](std::byte* arena, const std::byte* host, size_t bytes) {
                const Bytes count(static_cast<int64_t>(bytes));
                EXPECT_TRUE(Fake().CopyToDevice(arena, host, count).ok());
              },
          .read =
              [](std::byte* host, const std::byte* arena, size_t bytes) {
                const Bytes count(static_cast<int64_t>(bytes));
                EXPECT_TRUE(Fake().CopyToHost(host, arena, count).ok());
              }};
}

INSTANTIATE_TEST_SUITE_P(FakeCuda, ArenaConformance, testing::Values(FakeKind()));

TEST(CudaArena, ADeviceThatIsFullIsResourceExhaustedAndChangesNothing) {
  auto arena = Fake().CreateArena(32 * kMebibyte, kMebibyte);
  ASSERT_TRUE(arena.ok()) << arena.status();
  ASSERT_TRUE((*arena)->Commit({.first = 0, .count = 10}).ok());
  const absl::Status status = (*arena)->Commit({.first = 10, .count = 20});
  EXPECT_EQ(status,
            absl::ResourceExhaustedError("commit 20971520 bytes: cuMemCreate: out of memory (2)"));
  EXPECT_EQ((*arena)->committed_bytes(), 10 * kMebibyte);
  EXPECT_TRUE((*arena)->Decommit({.first = 0, .count = 10}).ok());
}

TEST(CudaArena, MemoryWithoutFileDescriptorsSaysSo) {
  const auto slabs = LoadCudaBackendFrom({PLIMSOLL_FAKE_MODULES "/libfake_cuda_of_slabs.so"});
  ASSERT_TRUE(slabs.ok()) << slabs.status();
  auto arena = (*slabs)->CreateArena(kMebibyte, kMebibyte);
  ASSERT_TRUE(arena.ok()) << arena.status();
  EXPECT_EQ((*arena)->Export(0).status(),
            absl::UnimplementedError(
                "memory of kind cuda-slab has no file descriptors that another process could map"));
}

TEST(CudaArena, ChunksThatTheDeviceCannotMapAreRefusedByName) {
  const auto message = [](Bytes max, Bytes chunk) {
    const absl::Status status = Fake().CreateArena(max, chunk).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_EQ(message(kMebibyte, Bytes(1000)), "chunk_bytes=1000: want a positive multiple of 4096");
  EXPECT_EQ(message(kMebibyte, Bytes(0)), "chunk_bytes=0: want a positive multiple of 4096");
  EXPECT_THAT(message(Bytes(0), Bytes(4096)), testing::HasSubstr("max_bytes=0: want 1 to "));
  EXPECT_THAT(message(Bytes(INT64_MAX), Bytes(4096)), testing::HasSubstr("max_bytes=9"));
}

}  // namespace
}  // namespace plimsoll
