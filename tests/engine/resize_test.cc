// A pool that grows and shrinks while sequences decode in it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/device/pool_memory.h"
#include "engine/engine.h"
#include "tests/engine/support/engine_run.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

std::unique_ptr<Engine> EngineOf(int64_t blocks, int64_t most, const Clock& clock,
                                 Policy policy = Policy::kNeverEvict,
                                 std::optional<Bytes> swap = std::nullopt) {
  auto engine = Engine::Create({.model_path = Model().folder(),
                                .device = "cpu",
                                .blocks = Blocks(blocks),
                                .max_blocks = Blocks(most),
                                .swap = swap,
                                .block_tokens = Tokens(4),
                                .loop = {.max_batched_tokens = Tokens(32), .max_sequences = 8},
                                .admission = {.epoch = "e", .policy = {.policy = policy}},
                                .poison_pool = true},
                               clock);
  PLIMSOLL_CHECK(engine.ok(), engine.status());
  return *std::move(engine);
}

// Asks for the size and takes the step before which it is made.
absl::StatusOr<PoolResized> Resize(Engine& engine, int64_t total) {
  std::optional<absl::StatusOr<PoolResized>> outcome;
  engine.Resize(Blocks(total), [&](const auto& resized) { outcome = resized; });
  EXPECT_FALSE(outcome.has_value()) << "not before the boundary";
  engine.loop().Step();
  PLIMSOLL_CHECK(outcome.has_value());
  return *outcome;
}

BlockCounts CountsOf(Engine& engine) {
  return engine.admission().With([](AdmissionController& admission) {
    admission.CheckInvariants();
    return admission.cache().counts();
  });
}

struct Work {
  std::vector<int32_t> prompt;
  int64_t count;
  std::vector<int32_t> alone;  // what it generates undisturbed
};

std::vector<Work> WorkOf(std::mt19937& random, int64_t requests) {
  const SimulatedClock clock;
  const auto engine = EngineOf(64, 64, clock);
  std::vector<Work> all;
  for (int64_t i = 0; i < requests; ++i) {
    Work work;
    for (auto n = 1 + random() % 20; n > 0; --n) {
      work.prompt.push_back(static_cast<int32_t>(random() % 100));
    }
    work.count = 1 + static_cast<int64_t>(random() % 24);
    const auto listener = Start(*engine, work.prompt, work.count);
    while (engine->loop().Step()) {
    }
    work.alone = listener->tokens;
    all.push_back(std::move(work));
  }
  return all;
}

// Requests come while there is room, and between steps the pool is asked to have any size, or just
// what it must.
void DecodeAcrossResizes(Policy policy, std::optional<Bytes> swap = std::nullopt) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const std::vector<Work> all = WorkOf(random, 48);
  const SimulatedClock clock;
  const auto engine = EngineOf(16, 40, clock, policy, swap);
  std::vector<std::shared_ptr<Collector>> heard(all.size());
  Blocks moved;
  int64_t refused = 0;
  for (size_t next = 0, idle = 0; idle < 3;) {
    if (next < all.size()) {
      heard[next] = Start(*engine, all[next].prompt, all[next].count);
      if (heard[next] != nullptr) ++next;
    }
    const BlockCounts now = CountsOf(*engine);
    const int64_t tight = std::max<int64_t>(1, (now.live + now.reserved).value());
    const bool any = random() % 2 == 0;
    const auto resized = Resize(*engine, any ? 11 + static_cast<int64_t>(random() % 30) : tight);
    if (resized.ok()) moved += resized->moved;
    refused += resized.ok() ? 0 : 1;
    CountsOf(*engine);
    idle = engine->loop().Step() ? 0 : idle + (next == all.size() ? 1 : 0);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_TRUE(heard[i]->status.ok()) << heard[i]->status;
    EXPECT_EQ(heard[i]->tokens, all[i].alone) << "request " << i;
  }
  EXPECT_EQ(CountsOf(*engine).free, CountsOf(*engine).total);
  EXPECT_GT(moved, Blocks(0)) << "the walk should move blocks";
  EXPECT_GT(refused, 0);
}

TEST(EngineResize, SequencesDecodeAcrossItAsIfUndisturbed) {
  DecodeAcrossResizes(Policy::kNeverEvict);
}

TEST(EngineResize, AndSoDoThoseThatStopForEachOther) { DecodeAcrossResizes(Policy::kWatermark); }

TEST(EngineResize, AndSoDoThoseThatAreKeptMeanwhile) {
  DecodeAcrossResizes(Policy::kWatermark, Bytes(100'000));
}

TEST(EngineResize, WhatIsLiveOrPromisedIsRefusedWithTheNumbers) {
  const SimulatedClock clock;
  const auto engine = EngineOf(8, 8, clock);
  const auto listener = Start(*engine, {1, 2, 3, 4, 5}, 11);  // four blocks
  engine->loop().Step();
  const absl::Status status = Resize(*engine, 3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at least 4 (live 2, reserved 2"));
  EXPECT_TRUE(Resize(*engine, 4).ok());
  EXPECT_EQ(engine->memory().back().name, "pool");
  EXPECT_EQ(engine->memory().back().predicted, 4 * engine->layout().block_bytes);
  EXPECT_EQ(engine->memory().back().measured, engine->arena().committed_bytes());
  while (engine->loop().Step()) {
  }
  EXPECT_EQ(listener->tokens.size(), 11u);
  EXPECT_TRUE(absl::IsInvalidArgument(Resize(*engine, 9).status())) << "it is no larger at most";
}

TEST(EngineResize, AfterStopItIsUnavailable) {
  const SimulatedClock clock;
  const auto engine = EngineOf(8, 8, clock);
  engine->loop().Stop();
  std::optional<absl::Status> status;
  engine->Resize(Blocks(4), [&](const auto& resized) { status = resized.status(); });
  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(absl::IsUnavailable(*status)) << *status;
}

TEST(EngineResize, ALoopThatSleepsWakesForIt) {
  const SimulatedClock clock;
  const auto engine = EngineOf(8, 8, clock);
  std::thread loop([&] { engine->loop().Run(); });
  std::atomic<bool> done = false;
  engine->Resize(Blocks(4), [&](const auto& resized) {
    EXPECT_TRUE(resized.ok());
    done = true;
    done.notify_one();
  });
  done.wait(false);
  engine->loop().Stop();
  loop.join();
  EXPECT_EQ(CountsOf(*engine).total, Blocks(4));
}

TEST(EngineResize, TheMostBlocksAreAtLeastThoseAtTheStart) {
  const SimulatedClock clock;
  const auto engine = Engine::Create({.model_path = Model().folder(),
                                      .device = "cpu",
                                      .blocks = Blocks(8),
                                      .max_blocks = Blocks(7)},
                                     clock);
  EXPECT_EQ(engine.status().message(), "max_blocks=7: want at least the pool's 8");
}

// Bytes that the system has taken for a memfd.
int64_t TakenBy(Arena& arena) {
  const absl::StatusOr<int> file = arena.Export(0);
  PLIMSOLL_CHECK(file.ok(), file.status());
  struct stat about {};
  PLIMSOLL_CHECK(fstat(*file, &about) == 0);
  close(*file);
  return int64_t{about.st_blocks} * 512;
}

// Blocks of three quarters of a page: four take three pages, three take three too, two take two.
TEST(PoolMemory, WhatTheSystemHasTakenFollowsTheBlocks) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  const Bytes block(page * 3 / 4);
  const auto memory = PoolMemory::Create(
      CpuBackend(), {.block_bytes = block, .blocks = Blocks(4), .most = Blocks(100)});
  ASSERT_TRUE(memory.ok()) << memory.status();
  Arena& arena = (*memory)->arena();
  EXPECT_EQ(TakenBy(arena), 3 * page);
  for (const auto& [blocks, pages] :
       std::vector<std::pair<int64_t, int64_t>>{{3, 3}, {2, 2}, {100, 75}, {1, 1}, {4, 3}}) {
    SCOPED_TRACE(blocks);
    EXPECT_TRUE((*memory)->Prepare(Blocks(blocks), {}).ok());
    EXPECT_TRUE((*memory)->GiveBackBeyond(Blocks(blocks)).ok());
    EXPECT_EQ(arena.committed_bytes(), Bytes(pages * page));
    EXPECT_EQ(TakenBy(arena), pages * page);
  }
}

TEST(PoolMemory, WholeBlocksMove) {
  const auto memory = PoolMemory::Create(
      CpuBackend(), {.block_bytes = Bytes(6000), .blocks = Blocks(4), .most = Blocks(4)});
  ASSERT_TRUE(memory.ok()) << memory.status();
  std::byte* const base = (*memory)->arena().base();
  for (int i = 0; i < 4; ++i) std::memset(base + 6000 * i, 'a' + i, 6000);
  const std::vector<BlockMove> moves = {{.from = BlockId(2), .to = BlockId(0)},
                                        {.from = BlockId(3), .to = BlockId(1)}};
  ASSERT_TRUE((*memory)->Prepare(Blocks(2), moves).ok());
  ASSERT_TRUE((*memory)->GiveBackBeyond(Blocks(2)).ok());
  EXPECT_EQ(std::string(reinterpret_cast<char*>(base), 12000),
            std::string(6000, 'c') + std::string(6000, 'd'));
}

}  // namespace
}  // namespace plimsoll
