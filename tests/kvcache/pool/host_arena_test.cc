// The host's arena: the suite that every kind passes, and what only the host can be asked.
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "kvcache/base/errors.h"
#include "tests/kvcache/pool/arena_conformance.h"

namespace plimsoll {
namespace {

constexpr Bytes kChunk(1 << 16);

void Copy(std::byte* to, const std::byte* from, size_t bytes) { std::memcpy(to, from, bytes); }

ArenaKind HostKind() {
  return {.name = "Host",
          .chunk_bytes = kChunk,
          .create = CreateHostArena,
          .write = Copy,
          .read = Copy};
}

INSTANTIATE_TEST_SUITE_P(Host, ArenaConformance, testing::Values(HostKind()));

std::unique_ptr<Arena> ArenaOf(int64_t chunks) {
  absl::StatusOr<std::unique_ptr<Arena>> arena = CreateHostArena(chunks * kChunk, kChunk);
  EXPECT_TRUE(arena.ok()) << arena.status();
  return *std::move(arena);
}

// What the pool's file really occupies.
Bytes AllocatedBytes(int file) {
  struct stat status = {};
  EXPECT_EQ(fstat(file, &status), 0);
  return Bytes(status.st_blocks * 512);
}

TEST(HostArena, RefusesSizesByName) {
  const auto message = [](Bytes max_bytes, Bytes chunk_bytes) {
    const absl::Status status = CreateHostArena(max_bytes, chunk_bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(message(Bytes(1), Bytes(0)), testing::HasSubstr("chunk_bytes=0"));
  EXPECT_THAT(message(Bytes(1), Bytes(1000)), testing::HasSubstr("chunk_bytes=1000"));
  EXPECT_THAT(message(Bytes(0), kChunk), testing::HasSubstr("max_bytes=0"));
  EXPECT_THAT(message(Bytes(INT64_MAX), kChunk), testing::HasSubstr("max_bytes="));
  EXPECT_THAT(message(Bytes(1), Bytes(int64_t{1} << 62)), testing::HasSubstr("chunk_bytes="));
}

TEST(HostArena, FreshMemoryIsZeroAgainAfterDecommit) {
  const std::unique_ptr<Arena> arena = ArenaOf(2);
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(arena->Commit({.first = 1, .count = 1}).ok());
    std::byte* const chunk = arena->base() + kChunk.value();
    EXPECT_EQ(chunk[0], std::byte{0});
    EXPECT_EQ(chunk[kChunk.value() - 1], std::byte{0});
    std::memset(chunk, 0xff, static_cast<size_t>(kChunk.value()));
    ASSERT_TRUE(arena->Decommit({.first = 1, .count = 1}).ok());
  }
}

TEST(HostArena, TakesItsPagesAtCommitAndGivesThemBackAtDecommit) {
  const std::unique_ptr<Arena> arena = ArenaOf(8);
  ASSERT_TRUE(arena->Commit({.first = 0, .count = 8}).ok());
  const int file = *arena->Export(0);
  EXPECT_EQ(AllocatedBytes(file), 8 * kChunk);
  ASSERT_TRUE(arena->Decommit({.first = 2, .count = 5}).ok());
  EXPECT_EQ(AllocatedBytes(file), 3 * kChunk);
  close(file);
}

// The child maps the descriptor by itself, as a process that was sent it would.
TEST(HostArena, AnotherProcessSeesExportedMemory) {
  const std::unique_ptr<Arena> arena = ArenaOf(4);
  ASSERT_TRUE(arena->Commit({.first = 0, .count = 4}).ok());
  std::byte* const chunk = arena->base() + 3 * kChunk.value();
  chunk[0] = std::byte{42};
  const int file = *arena->Export(3);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    munmap(arena->base(), static_cast<size_t>(4 * kChunk.value()));
    void* const mapped = mmap(nullptr, static_cast<size_t>(kChunk.value()), PROT_READ | PROT_WRITE,
                              MAP_SHARED, file, 3 * kChunk.value());
    if (mapped == MAP_FAILED) _exit(1);
    std::byte* const seen = static_cast<std::byte*>(mapped);
    if (seen[0] != std::byte{42}) _exit(2);
    seen[1] = std::byte{43};
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(chunk[1], std::byte{43});
  close(file);
}

TEST(HostArenaDeathTest, MemoryThatIsNotCommittedIsOutOfReach) {
  const std::unique_ptr<Arena> arena = ArenaOf(2);
  volatile std::byte* const base = arena->base();
  EXPECT_DEATH(base[0] = std::byte{1}, "");
  ASSERT_TRUE(arena->Commit({.first = 0, .count = 2}).ok());
  base[0] = std::byte{1};
  ASSERT_TRUE(arena->Decommit({.first = 0, .count = 1}).ok());
  EXPECT_DEATH(static_cast<void>(std::byte{base[0]}), "");
  EXPECT_DEATH(base[0] = std::byte{1}, "");
  base[kChunk.value()] = std::byte{1};
}

void Limit(int resource, rlim_t most) {
  const rlimit limit{.rlim_cur = most, .rlim_max = most};
  if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) _exit(100);
}

// Runs in a process of its own: the memory is limited to two chunks, and a commit of three fails.
[[noreturn]] void CommitBeyondALimit() {
  const std::unique_ptr<Arena> arena = ArenaOf(4);
  const int file = arena->Commit({.first = 0, .count = 1}).ok() ? *arena->Export(0) : -1;
  std::signal(SIGXFSZ, SIG_IGN);
  Limit(RLIMIT_FSIZE, static_cast<rlim_t>(2 * kChunk.value()));
  const absl::Status status = arena->Commit({.first = 1, .count = 3});
  if (!absl::IsResourceExhausted(status)) _exit(1);
  if (arena->committed_bytes() != kChunk || AllocatedBytes(file) != kChunk) _exit(2);
  _exit(arena->Commit({.first = 1, .count = 1}).ok() ? 0 : 3);
}

TEST(HostArenaDeathTest, ACommitThatFailsChangesNothing) {
  EXPECT_EXIT(CommitBeyondALimit(), testing::ExitedWithCode(0), "");
}

[[noreturn]] void RunOutOfDescriptors() {
  const std::unique_ptr<Arena> arena = ArenaOf(1);
  if (!arena->Commit({.first = 0, .count = 1}).ok()) _exit(1);
  // The undefined-behaviour sanitizer needs a descriptor the first time it looks at a type, here
  // that of the error category.
  static_cast<void>(SystemError("dup", EMFILE));
  const int highest = dup(STDERR_FILENO);  // the lowest free one: all below are in use
  Limit(RLIMIT_NOFILE, static_cast<rlim_t>(highest) + 1);
  if (!absl::IsResourceExhausted(arena->Export(0).status())) _exit(2);
  _exit(absl::IsResourceExhausted(CreateHostArena(kChunk, kChunk).status()) ? 0 : 3);
}

TEST(HostArenaDeathTest, RunningOutOfDescriptorsIsReported) {
  EXPECT_EXIT(RunOutOfDescriptors(), testing::ExitedWithCode(0), "");
}

TEST(HostArena, RunningOutOfAddressesIsReported) {
  constexpr Bytes kMost(int64_t{1} << 46);  // two of these are all a process can address
  std::vector<std::unique_ptr<Arena>> arenas;
  for (int i = 0; i < 4; ++i) {
    absl::StatusOr<std::unique_ptr<Arena>> arena = CreateHostArena(kMost, Bytes(1 << 30));
    if (!arena.ok()) {
      EXPECT_EQ(arena.status().code(), absl::StatusCode::kResourceExhausted) << arena.status();
      return;
    }
    arenas.push_back(*std::move(arena));
  }
  ADD_FAILURE() << "more addresses than there are";
}

}  // namespace
}  // namespace plimsoll
