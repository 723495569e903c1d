// A pool that another process maps.
#include "engine/device/pool_export.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "engine/device/pool_import.h"
#include "engine/device/pool_memory.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Bytes kBlock(4096);
constexpr Duration kMoment = milliseconds(5);

std::unique_ptr<PoolMemory> MemoryOf(int64_t blocks) {
  auto memory = PoolMemory::Create(
      CpuBackend(), {.block_bytes = kBlock, .blocks = Blocks(blocks), .most = Blocks(8)});
  PLIMSOLL_CHECK(memory.ok(), memory.status());
  return *std::move(memory);
}

std::unique_ptr<PoolExport> ExportOf(const std::string& path, PoolMemory& memory, int64_t blocks,
                                     const Clock& clock) {
  auto exported = PoolExport::Create(
      {.path = path, .block_bytes = kBlock, .lease = seconds(10), .most_importers = 2},
      memory.arena(), Blocks(blocks), clock);
  PLIMSOLL_CHECK(exported.ok(), exported.status());
  return *std::move(exported);
}

void Resize(PoolMemory& memory, PoolExport& exported, int64_t blocks) {
  PLIMSOLL_CHECK(memory.Prepare(Blocks(blocks), {}).ok());
  PLIMSOLL_CHECK(memory.GiveBackBeyond(Blocks(blocks)).ok());
  PLIMSOLL_CHECK(exported.Announce(Blocks(blocks)).ok());
}

char* TextIn(std::byte* base, int64_t block) {
  return reinterpret_cast<char*>(base + block * kBlock.value());
}

// What the other process does; says which line went wrong, or 0.
int MapReadAndWrite(const std::string& path) {
  auto import = PoolImport::Open(path, PoolAccess::kReadWrite);
  if (!import.ok()) return __LINE__;
  PoolImport& pool = **import;
  if (pool.pool().total != Blocks(4) || pool.pool().mapped != Bytes(4 * 4096)) return __LINE__;
  if (std::strcmp(TextIn(pool.base(), 3), "from the exporter") != 0) return __LINE__;
  std::strcpy(TextIn(pool.base(), 1), "from the importer");
  if (!pool.Renew().ok()) return __LINE__;
  while (pool.pool().total != Blocks(2)) {
    if (!pool.AwaitChange().ok()) return __LINE__;
  }
  if (pool.pool().mapped != Bytes(2 * 4096)) return __LINE__;
  std::strcpy(TextIn(pool.base(), 0), "smaller");
  if (!pool.AwaitChange().ok() || pool.pool().total != Blocks(6)) return __LINE__;
  if (std::strcmp(TextIn(pool.base(), 5), "new") != 0) return __LINE__;
  if (TextIn(pool.base(), 3)[0] != 0) return __LINE__;  // what was given back is gone
  return 0;
}

// The other process is started before there is anything that it could inherit.
TEST(PoolExport, AnotherProcessReadsAndWritesThePoolAcrossItsSizes) {
  const TempDir folder;
  const std::string path = folder.File("pool");
  std::array<int, 2> ready{};
  ASSERT_EQ(pipe(ready.data()), 0);
  const pid_t other = fork();
  ASSERT_GE(other, 0);
  if (other == 0) {
    char go = 0;
    const bool told = read(ready[0], &go, 1) == 1;
    _exit(told ? MapReadAndWrite(path) % 256 : 1);
  }
  const auto memory = MemoryOf(4);
  std::byte* const base = memory->arena().base();
  std::strcpy(TextIn(base, 3), "from the exporter");
  const SystemClock clock;
  const auto exported = ExportOf(path, *memory, 4, clock);
  ASSERT_EQ(write(ready[1], "g", 1), 1);
  int status = -1;
  bool written = false, smaller = false;
  while (waitpid(other, &status, WNOHANG) == 0) {
    exported->Serve(kMoment);
    if (!written && std::strcmp(TextIn(base, 1), "from the importer") == 0) {
      written = true;
      EXPECT_EQ(exported->leases(), 1);
      Resize(*memory, *exported, 2);
    }
    if (!smaller && std::strcmp(TextIn(base, 0), "smaller") == 0) {
      smaller = true;
      ASSERT_TRUE(memory->Prepare(Blocks(6), {}).ok());
      std::strcpy(TextIn(base, 5), "new");
      Resize(*memory, *exported, 6);
    }
  }
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the line of MapReadAndWrite that went wrong";
  EXPECT_TRUE(written && smaller);
  exported->Serve(kMoment);
  EXPECT_EQ(exported->leases(), 0) << "it gave its lease back";
  close(ready[0]);
  close(ready[1]);
}

// Serves on a thread of its own, on simulated time.
class Served : public testing::Test {
 protected:
  Served() {
    thread_ = std::thread([this] {
      while (!stop_) exported_->Serve(kMoment);
    });
  }
  ~Served() override {
    stop_ = true;
    thread_.join();
  }
  bool Eventually(const std::function<bool()>& holds) {
    const auto give_up = std::chrono::steady_clock::now() + seconds(10);
    while (!holds() && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    return holds();
  }

  TempDir folder_;
  const std::string path_ = folder_.File("pool");
  SimulatedClock clock_;
  std::unique_ptr<PoolMemory> memory_ = MemoryOf(4);
  std::unique_ptr<PoolExport> exported_ = ExportOf(path_, *memory_, 4, clock_);
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST_F(Served, WhoMayOnlyReadCannotMakeItsMappingWritable) {
  const auto import = PoolImport::Open(path_, PoolAccess::kRead);
  ASSERT_TRUE(import.ok()) << import.status();
  std::strcpy(TextIn(memory_->arena().base(), 2), "seen");
  EXPECT_STREQ(TextIn((*import)->base(), 2), "seen");
  EXPECT_EQ(mprotect((*import)->base(), 4096, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
}

TEST_F(Served, ALeaseLivesFromRenewalToRenewal) {
  const auto import = PoolImport::Open(path_, PoolAccess::kRead);
  ASSERT_TRUE(import.ok()) << import.status();
  EXPECT_EQ((*import)->pool().lease, seconds(10));
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(seconds(9));
    EXPECT_TRUE((*import)->Renew().ok());
  }
  EXPECT_EQ(exported_->leases(), 1);
  clock_.Advance(seconds(10));
  EXPECT_TRUE(Eventually([&] { return exported_->leases() == 0; }));
  EXPECT_TRUE(absl::IsUnavailable((*import)->Renew()));
}

TEST_F(Served, WhoIsDoneGivesItsLeaseBackAndOneTooManyIsRefused) {
  auto first = PoolImport::Open(path_, PoolAccess::kRead);
  const auto second = PoolImport::Open(path_, PoolAccess::kReadWrite);
  ASSERT_TRUE(first.ok() && second.ok());
  const auto third = PoolImport::Open(path_, PoolAccess::kRead);
  EXPECT_TRUE(absl::IsPermissionDenied(third.status()) || absl::IsUnavailable(third.status()))
      << third.status();
  first->reset();
  EXPECT_TRUE(Eventually([&] { return exported_->leases() == 1; }));
  EXPECT_TRUE(PoolImport::Open(path_, PoolAccess::kRead).ok());
}

TEST_F(Served, WhoSpeaksAnotherLanguageIsLetGo) {
  PoolMessage old{.kind = PoolMessageKind::kHello};
  old.version = 999;
  PoolMessage greedy{.kind = PoolMessageKind::kHello};
  greedy.access = static_cast<PoolAccess>(7);
  for (const PoolMessage& wrong : {old, greedy, PoolMessage{.kind = PoolMessageKind::kRenew},
                                   PoolMessage{.kind = PoolMessageKind::kPool}}) {
    const int socket = ConnectToExporter(path_);
    ASSERT_GE(socket, 0);
    EXPECT_TRUE(SendPoolMessage(socket, wrong));
    auto heard = ReceivePoolMessage(socket);
    if (heard) {
      EXPECT_EQ(heard->message.kind, PoolMessageKind::kRefused);
      heard = ReceivePoolMessage(socket);
    }
    EXPECT_FALSE(heard.has_value()) << "and that was all";
    close(socket);
  }
  const int socket = ConnectToExporter(path_);
  EXPECT_EQ(send(socket, "hello", 5, MSG_NOSIGNAL), 5);
  EXPECT_FALSE(ReceivePoolMessage(socket).has_value());
  close(socket);
  EXPECT_TRUE(PoolImport::Open(path_, PoolAccess::kRead).ok()) << "others are served as before";
}

TEST_F(Served, ASocketInUseIsAnErrorAndADeadOneIsReplaced) {
  const auto again = PoolExport::Create({.path = path_, .block_bytes = kBlock}, memory_->arena(),
                                        Blocks(4), clock_);
  EXPECT_EQ(again.status().message(), "listen on " + path_ + ": Address already in use");
  const std::string dead = folder_.File("dead");
  const int left_behind = ListenForImporters(dead);
  ASSERT_GE(left_behind, 0);
  close(left_behind);
  EXPECT_TRUE(
      PoolExport::Create({.path = dead, .block_bytes = kBlock}, memory_->arena(), Blocks(4), clock_)
          .ok());
}

// Connecting to an ordinary file is refused as connecting to a dead socket is.
TEST_F(Served, AnOrdinaryFileInTheWayIsAnErrorAndStays) {
  const std::string file = folder_.Write("weights", "precious");
  const auto over = PoolExport::Create({.path = file, .block_bytes = kBlock}, memory_->arena(),
                                       Blocks(4), clock_);
  EXPECT_EQ(over.status().message(), "listen on " + file + ": Address already in use");
  EXPECT_EQ(ReadFile(file), "precious");
}

TEST(PoolImport, NobodyThereIsUnavailable) {
  const TempDir folder;
  const auto import = PoolImport::Open(folder.File("none"), PoolAccess::kRead);
  EXPECT_TRUE(absl::IsUnavailable(import.status())) << import.status();
}

}  // namespace
}  // namespace plimsoll
