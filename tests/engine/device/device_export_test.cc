// A pool of a GPU that another process maps, over a module whose chunks are files: a handle for
// each chunk crosses the socket, and the other process's device maps it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "engine/device/cuda_loader.h"
#include "engine/device/pool_export.h"
#include "engine/device/pool_import.h"
#include "engine/device/pool_memory.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

constexpr Duration kMoment = std::chrono::milliseconds(5);
constexpr Bytes kBlock(32 * 4096);  // a chunk

std::unique_ptr<DeviceBackend> Load(const std::string& module) {
  auto backend = LoadCudaBackendFrom({PLIMSOLL_FAKE_MODULES "/lib" + module + ".so"});
  PLIMSOLL_CHECK(backend.ok(), backend.status());
  return *std::move(backend);
}

char* TextIn(std::byte* base, int64_t block, Bytes block_bytes = kBlock) {
  return reinterpret_cast<char*>(base + block * block_bytes.value());
}

// Another process, started before there is anything that it could inherit, that does `work` once it
// is told to; the work says which line went wrong, or 0.
class Other {
 public:
  explicit Other(const std::function<int()>& work) {
    PLIMSOLL_CHECK(pipe(ready_.data()) == 0);
    process_ = fork();
    PLIMSOLL_CHECK(process_ >= 0);
    if (process_ != 0) return;
    char go = 0;
    _exit(read(ready_[0], &go, 1) == 1 ? work() % 256 : 1);
  }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;
  ~Other() {
    close(ready_[0]);
    close(ready_[1]);
  }
  void Go() { PLIMSOLL_CHECK(write(ready_[1], "g", 1) == 1); }
  bool Runs() { return waitpid(process_, &status_, WNOHANG) == 0; }
  int Line() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1; }

 private:
  std::array<int, 2> ready_{};
  pid_t process_ = -1;
  int status_ = -1;
};

int MapReadAndWrite(const std::string& path) {
  const auto device = Load("fake_cuda");
  auto import = PoolImport::Open(path, PoolAccess::kReadWrite, device.get());
  if (!import.ok()) return __LINE__;
  PoolImport& pool = **import;
  if (pool.pool().total != Blocks(4) || pool.pool().mapped != 4 * kBlock) return __LINE__;
  if (std::strcmp(TextIn(pool.base(), 3), "from the exporter") != 0) return __LINE__;
  std::strcpy(TextIn(pool.base(), 1), "from the importer");
  if (!pool.Renew().ok()) return __LINE__;
  while (pool.pool().total != Blocks(6)) {
    if (!pool.AwaitChange().ok()) return __LINE__;
  }
  if (pool.pool().mapped != 6 * kBlock) return __LINE__;
  if (std::strcmp(TextIn(pool.base(), 1), "from the importer") != 0) return __LINE__;
  if (std::strcmp(TextIn(pool.base(), 5), "new") != 0) return __LINE__;
  if (std::strcmp(TextIn(pool.base(), 3), "another") != 0) return __LINE__;
  std::strcpy(TextIn(pool.base(), 0), "seen");
  if (!pool.AwaitChange().ok() || pool.pool().total != Blocks(2)) return __LINE__;
  return pool.pool().mapped == 2 * kBlock ? 0 : __LINE__;
}

// Between two messages the pool shrinks and grows again: the chunk that came back is another one.
TEST(DeviceExport, AnotherProcessMapsChunksAcrossSizes) {
  const TempDir folder;
  const std::string path = folder.File("pool");
  Other other([&] { return MapReadAndWrite(path); });
  const auto device = Load("fake_cuda");
  const auto memory =
      *PoolMemory::Create(*device, {.block_bytes = kBlock, .blocks = Blocks(4), .most = Blocks(8)});
  std::byte* const base = memory->arena().base();
  std::strcpy(TextIn(base, 3), "from the exporter");
  const SystemClock clock;
  const auto exported =
      *PoolExport::Create({.path = path, .block_bytes = kBlock}, memory->arena(), Blocks(4), clock);
  const auto resize = [&](int64_t blocks) {
    EXPECT_TRUE(memory->Prepare(Blocks(blocks), {}).ok());
    EXPECT_TRUE(memory->GiveBackBeyond(Blocks(blocks)).ok());
    EXPECT_TRUE(exported->Announce(Blocks(blocks)).ok());
  };
  other.Go();
  bool written = false, seen = false;
  while (other.Runs()) {
    exported->Serve(kMoment);
    if (!written && std::strcmp(TextIn(base, 1), "from the importer") == 0) {
      written = true;
      resize(2);
      ASSERT_TRUE(memory->Prepare(Blocks(6), {}).ok());
      std::strcpy(TextIn(base, 5), "new");
      std::strcpy(TextIn(base, 3), "another");
      resize(6);
    }
    if (!seen && std::strcmp(TextIn(base, 0), "seen") == 0) {
      seen = true;
      resize(2);
    }
  }
  EXPECT_EQ(other.Line(), 0) << "the line of MapReadAndWrite that went wrong";
  EXPECT_TRUE(written && seen);
}

// Exports its first `files` chunks alone, as a process that runs out of files would.
class ArenaOfFewFiles final : public Arena {
 public:
  ArenaOfFewFiles(Arena& arena, int64_t its_files) : files(its_files), arena_(arena) {}

  std::string_view kind() const override { return arena_.kind(); }
  std::byte* base() const override { return arena_.base(); }
  Bytes chunk_bytes() const override { return arena_.chunk_bytes(); }
  int64_t chunks() const override { return arena_.chunks(); }
  Bytes committed_bytes() const override { return arena_.committed_bytes(); }
  absl::Status Commit(ChunkRange range) override { return arena_.Commit(range); }
  absl::Status Decommit(ChunkRange range) override { return arena_.Decommit(range); }
  absl::StatusOr<int> Export(int64_t chunk) override {
    if (chunk >= files) return absl::InternalError("no more files");
    return arena_.Export(chunk);
  }

  int64_t files;

 private:
  Arena& arena_;
};

// Who comes after a growth that could not be announced maps the pool that was announced last; the
// next announcement brings all that is new.
TEST(DeviceExport, AGrowthThatLacksAFileTellsNobodyOfHalfOfIt) {
  const TempDir folder;
  const std::string path = folder.File("pool");
  Other other([&] {
    const auto device = Load("fake_cuda");
    const auto import = PoolImport::Open(path, PoolAccess::kRead, device.get());
    if (!import.ok() || (*import)->pool().mapped != 2 * kBlock) return __LINE__;
    if (!(*import)->AwaitChange().ok() || (*import)->pool().mapped != 4 * kBlock) return __LINE__;
    return std::strcmp(TextIn((*import)->base(), 3), "new") == 0 ? 0 : __LINE__;
  });
  const auto device = Load("fake_cuda");
  const auto memory = *device->CreateArena(4 * kBlock, kBlock);
  ASSERT_TRUE(memory->Commit({.first = 0, .count = 2}).ok());
  ArenaOfFewFiles arena(*memory, /*its_files=*/3);
  const SystemClock clock;
  const auto exported =
      *PoolExport::Create({.path = path, .block_bytes = kBlock}, arena, Blocks(2), clock);
  ASSERT_TRUE(arena.Commit({.first = 2, .count = 2}).ok());
  std::strcpy(TextIn(arena.base(), 3), "new");
  EXPECT_EQ(exported->Announce(Blocks(4)), absl::InternalError("no more files"));
  other.Go();
  bool announced = false;
  while (other.Runs()) {
    exported->Serve(kMoment);
    if (announced || exported->leases() == 0) continue;
    announced = true;
    arena.files = 4;
    EXPECT_TRUE(exported->Announce(Blocks(4)).ok());
  }
  EXPECT_EQ(other.Line(), 0);
}

// More chunks than one packet has files.
TEST(DeviceExport, ManyChunksComeInSeveralPackets) {
  constexpr Bytes kChunk(4096);
  constexpr int64_t kChunks = kMostPoolFiles + 20;
  const TempDir folder;
  const std::string path = folder.File("pool");
  Other other([&] {
    const auto device = Load("fake_cuda");
    const auto import = PoolImport::Open(path, PoolAccess::kRead, device.get());
    if (!import.ok() || (*import)->pool().total != Blocks(kChunks)) return __LINE__;
    for (int64_t i = 0; i < kChunks; ++i) {
      const std::string text = TextIn((*import)->base(), i, kChunk);
      if (text != std::to_string(i)) return __LINE__;
    }
    return 0;
  });
  const auto device = Load("fake_cuda");
  const auto arena = *device->CreateArena(kChunks * kChunk, kChunk);
  ASSERT_TRUE(arena->Commit({.first = 0, .count = kChunks}).ok());
  for (int64_t i = 0; i < kChunks; ++i) {
    std::strcpy(TextIn(arena->base(), i, kChunk), std::to_string(i).c_str());
  }
  const SystemClock clock;
  const auto exported =
      PoolExport::Create({.path = path, .block_bytes = kChunk}, *arena, Blocks(kChunks), clock);
  ASSERT_TRUE(exported.ok()) << exported.status();
  other.Go();
  while (other.Runs()) (*exported)->Serve(kMoment);
  EXPECT_EQ(other.Line(), 0);
}

TEST(DeviceExport, WithoutADeviceAGpusPoolIsRefusedByName) {
  const TempDir folder;
  const std::string path = folder.File("pool");
  Other other([&] {
    const auto import = PoolImport::Open(path, PoolAccess::kRead);
    return import.status() == absl::FailedPreconditionError(
                                  "the exported pool is a GPU's: want a device to map it")
               ? 0
               : __LINE__;
  });
  const auto device = Load("fake_cuda");
  const auto arena = *device->CreateArena(kBlock, kBlock);
  ASSERT_TRUE(arena->Commit({.first = 0, .count = 1}).ok());
  const SystemClock clock;
  const auto exported =
      PoolExport::Create({.path = path, .block_bytes = kBlock}, *arena, Blocks(1), clock);
  ASSERT_TRUE(exported.ok()) << exported.status();
  other.Go();
  while (other.Runs()) (*exported)->Serve(kMoment);
  EXPECT_EQ(other.Line(), 0);
}

TEST(DeviceExport, OneSlabOfMemorySaysThatItHasNoFiles) {
  const TempDir folder;
  const auto device = Load("fake_cuda_of_slabs");
  const auto arena = *device->CreateArena(kBlock, kBlock);
  ASSERT_TRUE(arena->Commit({.first = 0, .count = 1}).ok());
  const SystemClock clock;
  EXPECT_EQ(
      PoolExport::Create({.path = folder.File("pool"), .block_bytes = kBlock}, *arena, Blocks(1),
                         clock)
          .status(),
      absl::UnimplementedError("memory of kind cuda-slab has no file descriptors that another "
                               "process could map"));
}

TEST(HostArena, MapsNoChunkOfAnother) {
  const auto arena = *CreateHostArena(kBlock, kBlock);
  EXPECT_TRUE(absl::IsUnimplemented(arena->Import(0, 0, false)));
}

}  // namespace
}  // namespace plimsoll
