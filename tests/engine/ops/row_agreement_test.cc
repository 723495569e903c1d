// Every table against the reference: the operations that work on rows. Shapes lie on and beside
// the vector widths (4, 8, 16) and the pieces that threads take.
#include "tests/engine/ops/problems.h"

namespace plimsoll {
namespace {

// A float sum of up to 8192 products in vector order; measured below 3e-7 over many seeds.
constexpr double kTolerance = 2e-6;

TEST_P(EveryTable, EmbedAgrees) {
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kStorageTypes) {
    for (const int64_t cols : {1, 7, 8, 17, 128}) {
      const Stored table(type, RandomFloats(5 * cols, rng));
      const std::vector<int32_t> ids = {4, 0, 3, 3};
      const auto run = [&](const Ops& ops) {
        std::vector<float> out(static_cast<size_t>(4 * cols));
        EXPECT_TRUE(ops.embed({.ids = ids.data(),
                               .rows = 4,
                               .table = table.View(5, cols),
                               .scale = 1.7f,
                               .out = out.data()})
                        .ok());
        return out;
      };
      EXPECT_EQ(run(*GetParam()), run(ReferenceOps())) << NameOf(type) << " " << cols;
    }
  }
}

TEST_P(EveryTable, RmsNormAgreesInPlaceAndAddedToWhatIsThere) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kStorageTypes) {
    for (const int64_t rows : {0, 1, 3, 9, 17}) {
      for (const int64_t cols : {1, 3, 15, 16, 17, 31, 32, 33, 4096}) {
        SCOPED_TRACE(testing::Message() << rows << "x" << cols << " " << NameOf(type));
        const Stored gain(type, RandomFloats(cols, rng));
        const std::vector<float> x = RandomFloats(rows * cols, rng);
        const auto run = [&](const Ops& ops, bool in_place) {
          std::vector<float> out = x;
          EXPECT_TRUE(ops.rms_norm({.x = in_place ? out.data() : x.data(),
                                    .rows = rows,
                                    .cols = cols,
                                    .gain = gain.View(1, cols),
                                    .gain_offset = 0.5f,
                                    .epsilon = 1e-5f,
                                    .out = out.data(),
                                    .accumulate = !in_place})
                          .ok());
          return out;
        };
        EXPECT_LT(RelativeDistance(run(*GetParam(), false), run(ReferenceOps(), false)),
                  kTolerance);
        EXPECT_LT(RelativeDistance(run(*GetParam(), true), run(ReferenceOps(), true)), kTolerance);
      }
    }
  }
}

TEST_P(EveryTable, GatedActivationAgreesAlsoFarOut) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const Activation activation :
       {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    for (const int64_t count : {0, 1, 15, 16, 17, 4095, 4096, 4097, 10000}) {
      std::vector<float> gate = RandomFloats(count, rng, 4.0f);
      if (count > 8) gate[3] = -1000, gate[4] = 1000, gate[5] = -88.5f, gate[6] = -0.0f;
      const std::vector<float> up = RandomFloats(count, rng);
      const auto run = [&](const Ops& ops) {
        std::vector<float> out = gate;  // in place
        EXPECT_TRUE(ops.gated_activation({.gate = out.data(),
                                          .up = up.data(),
                                          .count = count,
                                          .activation = activation,
                                          .out = out.data()})
                        .ok());
        return out;
      };
      const std::vector<float> got = run(*GetParam());
      const std::vector<float> want = run(ReferenceOps());
      // Beside gate times up: where 1 + erf cancels, the result itself is no measure.
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_LE(std::abs(got[i] - want[i]), kTolerance * std::abs(gate[i] * up[i]))
            << static_cast<int>(activation) << " of " << gate[i] << " times " << up[i];
      }
    }
  }
}

TEST_P(EveryTable, SoftcapAgreesAlsoFarOut) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const int64_t count : {0, 1, 15, 16, 17, 4097}) {
    std::vector<float> x = RandomFloats(count, rng, 40.0f);
    if (count > 8) x[3] = -1e30f, x[4] = 1e30f, x[5] = 0, x[6] = 1e-5f;
    const auto run = [&](const Ops& ops) {
      std::vector<float> capped = x;
      EXPECT_TRUE(ops.softcap({.x = capped.data(), .count = count, .cap = 30}).ok());
      return capped;
    };
    EXPECT_LT(RelativeDistance(run(*GetParam()), run(ReferenceOps())), kTolerance) << count;
  }
}

// Eight rows of two sequences, rotated and appended to a cache full of NaN.
struct AppendProblem {
  static constexpr int64_t kHeads = 4;
  static constexpr int64_t kKvHeads = 2;

  std::mt19937 rng = SeededGenerator();
  int64_t dim, rotated;
  CacheUnderTest cache;
  std::vector<RowPlace> places;
  std::vector<float> cos, sin, q, k, v;

  AppendProblem(ElementType type, int64_t head_dim, int64_t rotated_dims)
      : dim(head_dim), rotated(rotated_dims), cache({type, kKvHeads, dim, 4}, {11, 6}, rng) {
    for (int64_t p = 3; p < 10; ++p) places.push_back({p, cache.table(0)});
    places.push_back({5, cache.table(1)});
    const int64_t rows = std::ssize(places);
    cos = RandomFloats(11 * rotated / 2, rng);
    sin = RandomFloats(11 * rotated / 2, rng);
    q = RandomFloats(rows * kHeads * dim, rng);
    k = RandomFloats(rows * kKvHeads * dim, rng);
    v = RandomFloats(rows * kKvHeads * dim, rng);
  }

  void Run(const Ops& ops) {
    EXPECT_TRUE(ops.rotate_and_append({.q = q.data(),
                                       .k = k.data(),
                                       .v = v.data(),
                                       .rows = std::ssize(places),
                                       .heads = kHeads,
                                       .rotated_dims = rotated,
                                       .cos = cos.data(),
                                       .sin = sin.data(),
                                       .places = places.data(),
                                       .cache = cache.layer()})
                    .ok());
  }

  // What the cache must hold now: k and v rounded into these rows' slots, NaN elsewhere.
  std::vector<std::byte> WantedBytes() const {
    std::vector<std::byte> bytes(cache.bytes().size(), std::byte{0xff});
    PagedLayer layer = cache.layer();
    layer.pool = bytes.data();
    for (int64_t r = 0; r < std::ssize(places); ++r) {
      const RowPlace& place = places[static_cast<size_t>(r)];
      for (int64_t h = 0; h < kKvHeads; ++h) {
        std::byte* const slot = KeySlot(layer, place.table, place.position, h);
        std::byte* const word = KeyWord(layer, place.table, place.position, h);
        const int64_t at = (r * kKvHeads + h) * dim;
        WriteKvRow(layer.type, k.data() + at, dim, slot, word);
        WriteKvRow(layer.type, v.data() + at, dim, slot + ValueOffset(layer),
                   word + ValueWordOffset(layer));
      }
    }
    return bytes;
  }
};

TEST_P(EveryTable, RotateAndAppendAgreesAndTouchesOnlyItsSlots) {
  SCOPED_TRACE(RerunHint());
  for (const ElementType type : kCacheTypes) {
    for (const int64_t dim : {2, 7, 10, 64, 80}) {
      for (const int64_t rotated : {int64_t{0}, dim / 4 * 2, dim / 2 * 2}) {
        SCOPED_TRACE(testing::Message() << NameOf(type) << " " << dim << " " << rotated);
        AppendProblem problem(type, dim, rotated);
        AppendProblem judged(type, dim, rotated);
        problem.Run(*GetParam());
        judged.Run(ReferenceOps());
        EXPECT_LT(RelativeDistance(problem.q, judged.q), kTolerance);
        EXPECT_LT(RelativeDistance(problem.k, judged.k), kTolerance);
        EXPECT_EQ(problem.cache.bytes(), problem.WantedBytes());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, EveryTable, testing::ValuesIn(AllOps()), TableName);

}  // namespace
}  // namespace plimsoll
