// Every table's attention against the reference, in caches whose unwritten slots are NaN.
#include "engine/ops/cpu_threads.h"
#include "tests/engine/ops/problems.h"

namespace plimsoll {
namespace {

// Scores and sums in fp32 with a vector e^x; measured below 6e-7, of int4 below 2e-6.
constexpr double kTolerance = 5e-6;
constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::max();

// One decode row per length, and the row a third of the way into each sequence as well.
struct AttentionProblem {
  int64_t heads;
  int64_t window;
  CacheUnderTest cache;
  std::vector<RowPlace> places;
  std::vector<float> q;
  float softcap = 0;
  std::vector<float> sinks;  // empty: none

  AttentionProblem(const CacheUnderTest::Shape& shape, int64_t group, int64_t window_tokens,
                   const std::vector<int64_t>& lengths, std::mt19937& rng)
      : heads(shape.kv_heads * group), window(window_tokens), cache(shape, lengths, rng) {
    for (int64_t s = 0; s < std::ssize(lengths); ++s) {
      const int64_t length = lengths[static_cast<size_t>(s)];
      cache.Fill(s, length, rng);
      places.push_back({length - 1, cache.table(s)});
      places.push_back({length / 3, cache.table(s)});
    }
    q = RandomFloats(std::ssize(places) * heads * shape.head_dim, rng);
  }

  std::vector<float> Run(const Ops& ops) const {
    std::vector<float> out(q.size(), NAN);
    EXPECT_TRUE(ops.attention({.q = q.data(),
                               .rows = std::ssize(places),
                               .heads = heads,
                               .scale = 0.3f,
                               .window = window,
                               .places = places.data(),
                               .cache = cache.layer(),
                               .out = out.data(),
                               .softcap = softcap,
                               .sinks = sinks.empty() ? nullptr : sinks.data()})
                    .ok());
    return out;
  }
};

class EveryAttention : public EveryTable {};

TEST_P(EveryAttention, AgreesForEveryTypeGroupAndBlockSize) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kCacheTypes) {
    for (const int64_t group : {1, 2, 3, 4, 6, 8}) {
      for (const int64_t block_tokens : {1, 8, 16, 64}) {
        SCOPED_TRACE(testing::Message() << NameOf(type) << " " << group << " " << block_tokens);
        const AttentionProblem problem({type, 2, 32, block_tokens}, group, kNoWindow,
                                       {1, 15, 16, 17, 31, 32, 33, 70}, rng);
        ASSERT_LT(RelativeDistance(problem.Run(*GetParam()), problem.Run(ReferenceOps())),
                  kTolerance);
      }
    }
  }
}

TEST_P(EveryAttention, AgreesForEveryHeadWidth) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kCacheTypes) {
    for (const int64_t dim : {1, 7, 15, 16, 17, 64, 80, 96, 128, 256}) {
      SCOPED_TRACE(testing::Message() << NameOf(type) << " " << dim);
      const AttentionProblem problem({type, 1, dim, 16}, 5, kNoWindow, {40}, rng);
      ASSERT_LT(RelativeDistance(problem.Run(*GetParam()), problem.Run(ReferenceOps())),
                kTolerance);
    }
  }
}

TEST_P(EveryAttention, AWindowForgetsWhatIsOlder) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const int64_t window : {1, 2, 15, 16, 17, 33, 99, 100, 101}) {
    const AttentionProblem problem({ElementType::kBf16, 2, 16, 16}, 2, window, {1, 20, 100}, rng);
    ASSERT_LT(RelativeDistance(problem.Run(*GetParam()), problem.Run(ReferenceOps())), kTolerance)
        << window;
  }
}

TEST_P(EveryAttention, CapsScoresAndLeavesRoomForSinks) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kCacheTypes) {
    for (const float softcap : {0.0f, 0.5f, 30.0f}) {
      for (const bool sinks : {false, true}) {
        AttentionProblem problem({type, 2, 24, 16}, 3, 50, {1, 20, 100}, rng);
        problem.softcap = softcap;
        if (sinks) problem.sinks = RandomFloats(problem.heads, rng, 3.0f);
        ASSERT_LT(RelativeDistance(problem.Run(*GetParam()), problem.Run(ReferenceOps())),
                  kTolerance)
            << NameOf(type) << " " << softcap << " " << sinks;
      }
    }
  }
}

// What a cache never held reads as NaN in every type, so a stray read is seen.
TEST_P(EveryAttention, AnUnwrittenSlotIsNotANumber) {
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kCacheTypes) {
    AttentionProblem problem({type, 1, 16, 4}, 1, kNoWindow, {5}, rng);
    problem.places = {{.position = 5, .table = problem.cache.table(0)}};  // one past the last
    problem.q.resize(16);
    for (const float each : problem.Run(*GetParam())) EXPECT_TRUE(std::isnan(each)) << NameOf(type);
  }
}

TEST_P(EveryAttention, LargeScoresDoNotOverflow) {
  std::mt19937 rng = SeededGenerator();
  AttentionProblem problem({ElementType::kFp32, 1, 16, 16}, 1, kNoWindow, {100}, rng);
  for (float& q : problem.q) q *= 1000;
  EXPECT_LT(RelativeDistance(problem.Run(*GetParam()), problem.Run(ReferenceOps())), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Built, EveryAttention, testing::ValuesIn(AllOps()), TableName);

// The same content whatever the block size; the shuffle of blocks draws from a generator of its
// own.
std::vector<float> AttendInBlocksOf(int64_t block_tokens) {
  std::mt19937 shuffle(7);
  CacheUnderTest cache({ElementType::kFp16, 2, 64, block_tokens}, {150}, shuffle);
  std::mt19937 content(8);
  cache.Fill(0, 150, content);
  const std::vector<float> q = RandomFloats(2 * 8 * 64, content);
  const std::vector<RowPlace> places = {{149, cache.table(0)}, {64, cache.table(0)}};
  std::vector<float> out(q.size());
  EXPECT_TRUE(CpuOps()
                  .attention({.q = q.data(),
                              .rows = 2,
                              .heads = 8,
                              .scale = 0.1f,
                              .window = kNoWindow,
                              .places = places.data(),
                              .cache = cache.layer(),
                              .out = out.data()})
                  .ok());
  return out;
}

TEST(CpuAttention, NeitherThreadsNorBlockSizeChangeABit) {
  const int before = CpuThreads().threads();
  const std::vector<float> want = AttendInBlocksOf(16);
  for (const int threads : {1, 2, 5}) {
    SetCpuThreads(threads);
    for (const int64_t block_tokens : {1, 16, 128}) {
      EXPECT_EQ(AttendInBlocksOf(block_tokens), want) << threads << " " << block_tokens;
    }
  }
  SetCpuThreads(before);
}

}  // namespace
}  // namespace plimsoll
