// What every kind of arena must do. A kind takes part with one line:
//
//   INSTANTIATE_TEST_SUITE_P(Host, ArenaConformance, testing::Values(HostArenaKind()));
//
// The arena's memory may be out of the host's reach, so it is written and read through the kind.
// What a kind cannot do it says with Unimplemented, and the tests of that are skipped.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kvcache/pool/arena.h"

namespace plimsoll {

struct ArenaKind {
  std::string name;
  Bytes chunk_bytes;  // the smallest that the kind accepts
  std::function<absl::StatusOr<std::unique_ptr<Arena>>(Bytes max_bytes, Bytes chunk_bytes)> create;
  // Copies between host memory and the arena's, both ways; complete when they return.
  std::function<void(std::byte* arena, const std::byte* host, size_t bytes)> write;
  std::function<void(std::byte* host, const std::byte* arena, size_t bytes)> read;

  friend void PrintTo(const ArenaKind& kind, std::ostream* out) { *out << kind.name; }
};

class ArenaConformance : public testing::TestWithParam<ArenaKind> {
 protected:
  static constexpr int64_t kChunks = 8;

  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Arena>> arena =
        GetParam().create(kChunks * GetParam().chunk_bytes, GetParam().chunk_bytes);
    ASSERT_TRUE(arena.ok()) << arena.status();
    arena_ = *std::move(arena);
  }

  size_t chunk_size() const { return static_cast<size_t>(arena_->chunk_bytes().value()); }
  std::byte* Chunk(int64_t chunk) const {
    return arena_->base() + chunk * arena_->chunk_bytes().value();
  }
  void Fill(int64_t chunk, uint8_t value) {
    const std::vector<std::byte> bytes(chunk_size(), std::byte{value});
    GetParam().write(Chunk(chunk), bytes.data(), bytes.size());
  }
  bool Holds(int64_t chunk, uint8_t value) const {
    std::vector<std::byte> bytes(chunk_size(), std::byte{static_cast<uint8_t>(~value)});
    GetParam().read(bytes.data(), Chunk(chunk), bytes.size());
    return bytes == std::vector<std::byte>(chunk_size(), std::byte{value});
  }
  // Commits nothing else: what a refused call must leave.
  void ExpectCommitted(int64_t chunks) const {
    EXPECT_EQ(arena_->committed_bytes(), chunks * arena_->chunk_bytes());
  }

  std::unique_ptr<Arena> arena_;
};

TEST_P(ArenaConformance, StartsWithAddressesAndNoMemory) {
  EXPECT_EQ(arena_->chunks(), kChunks);
  EXPECT_EQ(arena_->chunk_bytes(), GetParam().chunk_bytes);
  EXPECT_NE(arena_->base(), nullptr);
  EXPECT_FALSE(arena_->kind().empty());
  ExpectCommitted(0);
}

TEST_P(ArenaConformance, RoundsUpToWholeChunks) {
  const Bytes chunk = GetParam().chunk_bytes;
  const auto arena = GetParam().create(chunk + Bytes(1), chunk);
  ASSERT_TRUE(arena.ok()) << arena.status();
  EXPECT_EQ((*arena)->chunks(), 2);
}

TEST_P(ArenaConformance, CommittedChunksHoldWhatIsWritten) {
  ASSERT_TRUE(arena_->Commit({.first = 0, .count = kChunks}).ok());
  ExpectCommitted(kChunks);
  for (int64_t i = 0; i < kChunks; ++i) Fill(i, static_cast<uint8_t>(i + 1));
  for (int64_t i = 0; i < kChunks; ++i) EXPECT_TRUE(Holds(i, static_cast<uint8_t>(i + 1))) << i;
}

TEST_P(ArenaConformance, CommittingMoreLeavesTheRestInPlace) {
  ASSERT_TRUE(arena_->Commit({.first = 2, .count = 2}).ok());
  std::byte* const base = arena_->base();
  Fill(2, 7);
  Fill(3, 8);
  ASSERT_TRUE(arena_->Commit({.first = 0, .count = 2}).ok());
  ASSERT_TRUE(arena_->Commit({.first = 4, .count = 4}).ok());
  EXPECT_EQ(arena_->base(), base);
  EXPECT_TRUE(Holds(2, 7));
  EXPECT_TRUE(Holds(3, 8));
}

TEST_P(ArenaConformance, RangesOutsideAreRefusedAndChangeNothing) {
  ASSERT_TRUE(arena_->Commit({.first = 0, .count = 1}).ok());
  for (const ChunkRange range :
       {ChunkRange{.first = -1, .count = 1}, ChunkRange{.first = kChunks, .count = 1},
        ChunkRange{.first = 1, .count = kChunks}, ChunkRange{.first = 1, .count = 0},
        ChunkRange{.first = 1, .count = -1}, ChunkRange{.first = 1, .count = INT64_MAX},
        ChunkRange{.first = INT64_MAX, .count = 1}, ChunkRange{.first = INT64_MIN, .count = 1}}) {
    EXPECT_FALSE(arena_->Commit(range).ok()) << range.first << " " << range.count;
    EXPECT_FALSE(arena_->Decommit(range).ok()) << range.first << " " << range.count;
    ExpectCommitted(1);
  }
  EXPECT_FALSE(arena_->Export(-1).ok());
  EXPECT_FALSE(arena_->Export(kChunks).ok());
}

TEST_P(ArenaConformance, CommittingTwiceIsRefusedAndKeepsWhatIsThere) {
  ASSERT_TRUE(arena_->Commit({.first = 3, .count = 1}).ok());
  Fill(3, 5);
  const absl::Status status = arena_->Commit({.first = 2, .count = 3});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  ExpectCommitted(1);
  EXPECT_TRUE(Holds(3, 5));
}

TEST_P(ArenaConformance, DecommittingWhatIsNotThereIsRefused) {
  ASSERT_TRUE(arena_->Commit({.first = 0, .count = 2}).ok());
  Fill(1, 9);
  const absl::Status status = arena_->Decommit({.first = 1, .count = 2});
  if (absl::IsUnimplemented(status)) GTEST_SKIP() << "cannot decommit";
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  ExpectCommitted(2);
  EXPECT_TRUE(Holds(1, 9));
}

TEST_P(ArenaConformance, DecommittedChunksCanBeCommittedAgain) {
  ASSERT_TRUE(arena_->Commit({.first = 0, .count = 4}).ok());
  for (int64_t i = 0; i < 4; ++i) Fill(i, static_cast<uint8_t>(i));
  const absl::Status status = arena_->Decommit({.first = 1, .count = 2});
  if (absl::IsUnimplemented(status)) GTEST_SKIP() << "cannot decommit";
  ASSERT_TRUE(status.ok()) << status;
  ExpectCommitted(2);
  ASSERT_TRUE(arena_->Commit({.first = 1, .count = 2}).ok());
  Fill(1, 21);
  Fill(2, 22);
  for (const auto& [chunk, value] : {std::pair{0, 0}, {1, 21}, {2, 22}, {3, 3}}) {
    EXPECT_TRUE(Holds(chunk, static_cast<uint8_t>(value))) << chunk;
  }
}

TEST_P(ArenaConformance, OnlyCommittedChunksAreExported) {
  ASSERT_TRUE(arena_->Commit({.first = 0, .count = 1}).ok());
  const absl::StatusOr<int> missing = arena_->Export(1);
  if (absl::IsUnimplemented(missing.status())) GTEST_SKIP() << "cannot export";
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kFailedPrecondition);
  const absl::StatusOr<int> file = arena_->Export(0);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_GE(*file, 0);
}

// Random commits and decommits beside a set of the chunks that should be there; each holds its own
// mark until it is given back.
TEST_P(ArenaConformance, AgreesWithAModelAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::set<int64_t> model;
  for (int step = 0; step < 200; ++step) {
    const ChunkRange range{.first = static_cast<int64_t>(random() % kChunks),
                           .count = static_cast<int64_t>(random() % 3)};
    const bool commit = random() % 2 == 0;
    bool possible = range.count > 0 && range.first + range.count <= kChunks;
    for (int64_t i = range.first; i < range.first + range.count; ++i) {
      possible = possible && model.contains(i) != commit;
    }
    const absl::Status status = commit ? arena_->Commit(range) : arena_->Decommit(range);
    if (absl::IsUnimplemented(status)) GTEST_SKIP() << "cannot decommit";
    ASSERT_EQ(status.ok(), possible) << status << " in step " << step;
    for (int64_t i = range.first; possible && i < range.first + range.count; ++i) {
      if (!commit) model.erase(i);
      if (commit) model.insert(i);
      if (commit) Fill(i, static_cast<uint8_t>(i + 1));
    }
    ExpectCommitted(std::ssize(model));
    for (const int64_t chunk : model) {
      ASSERT_TRUE(Holds(chunk, static_cast<uint8_t>(chunk + 1))) << "step " << step;
    }
  }
}

}  // namespace plimsoll
