// CUDA's kernels that work on rows, against the reference, on the emulator and on a GPU.
#include <cmath>

#include "tests/engine/ops/device_problem.h"

namespace plimsoll {
namespace {

constexpr double kTolerance = 2e-6;      // fp32 sums in another order
constexpr double kHalfTolerance = 5e-3;  // results rounded to bf16
constexpr ElementType kHalves[] = {ElementType::kFp16, ElementType::kBf16};

using RowKernels = OnDevice;

// 16-bit numbers as floats.
std::vector<float> Widened(const std::vector<std::byte>& bytes, ElementType type) {
  std::vector<float> values(bytes.size() / 2);
  for (int64_t i = 0; i < std::ssize(values); ++i) {
    values[static_cast<size_t>(i)] = ReadElement(bytes.data(), type, i);
  }
  return values;
}

TEST_P(RowKernels, EmbedIsExact) {
  std::mt19937 rng = SeededGenerator();
  for (const ElementType type : kStorageTypes) {
    for (const int64_t cols : {1, 8, 257, 600}) {
      const Stored table(type, RandomFloats(5 * cols, rng));
      const std::vector<int32_t> ids = {4, 0, 3, 3};
      std::vector<float> want(static_cast<size_t>(4 * cols));
      EmbedArgs args = {.ids = ids.data(),
                        .rows = 4,
                        .table = table.View(5, cols),
                        .scale = 1.5f,
                        .out = want.data()};
      ASSERT_TRUE(ReferenceOps().embed(args).ok());
      args.ids = Put(ids);
      args.table = Put(table, 5, cols);
      args.out = Take<float>(4 * cols);
      ASSERT_TRUE(ops().embed(args).ok());
      EXPECT_EQ(Get(args.out, 4 * cols), want) << NameOf(type) << " " << cols;
    }
  }
}

TEST_P(RowKernels, RmsNormAgreesInPlaceAddedAndNarrowed) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const int64_t cols : {1, 31, 64, 257, 2048}) {
    for (const ElementType type : kStorageTypes) {
      SCOPED_TRACE(testing::Message() << cols << " " << NameOf(type));
      const int64_t count = 3 * cols;
      const Stored gain(type, RandomFloats(cols, rng));
      const std::vector<float> x = RandomFloats(count, rng);
      RmsNormArgs args = {.x = x.data(),
                          .rows = 3,
                          .cols = cols,
                          .gain = gain.View(1, cols),
                          .gain_offset = 0.5f,
                          .epsilon = 1e-5f,
                          .out = nullptr};
      std::vector<float> normed(x.size());
      std::vector<float> added = x;
      args.out = normed.data();
      ASSERT_TRUE(ReferenceOps().rms_norm(args).ok());
      args.out = added.data();
      args.accumulate = true;
      ASSERT_TRUE(ReferenceOps().rms_norm(args).ok());

      args.gain = Put(gain, 1, cols);
      args.x = args.out = Put(x);
      args.accumulate = false;
      ASSERT_TRUE(ops().rms_norm(args).ok());
      EXPECT_LT(RelativeDistance(Get(args.out, count), normed), kTolerance) << "in place";
      args.x = Put(x);
      args.out = Put(x);
      args.accumulate = true;
      ASSERT_TRUE(ops().rms_norm(args).ok());
      EXPECT_LT(RelativeDistance(Get(args.out, count), added), kTolerance) << "added";
      args.accumulate = false;
      for (const ElementType half : kHalves) {
        args.narrowed = {Take<std::byte>(2 * count), half};
        ASSERT_TRUE(ops().rms_norm(args).ok());
        const std::vector<float> got = Widened(Get(args.narrowed.data, 2 * count), half);
        EXPECT_LT(RelativeDistance(got, normed), kHalfTolerance) << "narrowed";
      }
    }
  }
}

TEST_P(RowKernels, GatedActivationAgreesAlsoFarOut) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const Activation activation :
       {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    for (const int64_t count : {1, 257, 1000}) {
      std::vector<float> gate = RandomFloats(count, rng, 4.0f);
      if (count > 8) gate[3] = -1000, gate[4] = 1000, gate[5] = -88.5f, gate[6] = -0.0f;
      const std::vector<float> up = RandomFloats(count, rng);
      std::vector<float> want(gate.size());
      GatedActivationArgs args = {.gate = gate.data(),
                                  .up = up.data(),
                                  .count = count,
                                  .activation = activation,
                                  .out = want.data()};
      ASSERT_TRUE(ReferenceOps().gated_activation(args).ok());
      args.gate = args.out = Put(gate);
      args.up = Put(up);
      ASSERT_TRUE(ops().gated_activation(args).ok());
      // Beside gate times up: where 1 + erf cancels, the result itself is no measure.
      const auto compare = [&](const std::vector<float>& got, double tolerance) {
        for (size_t i = 0; i < want.size(); ++i) {
          ASSERT_LE(std::abs(got[i] - want[i]), tolerance * std::abs(gate[i] * up[i]))
              << static_cast<int>(activation) << " of " << gate[i] << " times " << up[i];
        }
      };
      compare(Get(args.out, count), kTolerance);
      args.gate = Put(gate);
      args.narrowed = {Take<std::byte>(2 * count), ElementType::kBf16};
      ASSERT_TRUE(ops().gated_activation(args).ok());
      compare(Widened(Get(args.narrowed.data, 2 * count), ElementType::kBf16), kHalfTolerance);
    }
  }
}

TEST_P(RowKernels, SoftcapAgreesAlsoFarOut) {
  SCOPED_TRACE(RerunHint());
  std::mt19937 rng = SeededGenerator();
  for (const int64_t count : {0, 1, 257, 3000}) {
    std::vector<float> x = RandomFloats(count, rng, 40.0f);
    if (count > 8) x[3] = -1e30f, x[4] = 1e30f, x[5] = 0, x[6] = 1e-5f;
    float* const capped = Put(x);
    ASSERT_TRUE(ReferenceOps().softcap({.x = x.data(), .count = count, .cap = 30}).ok());
    ASSERT_TRUE(ops().softcap({.x = capped, .count = count, .cap = 30}).ok());
    EXPECT_LT(RelativeDistance(Get(capped, count), x), kTolerance) << count;
  }
}

// Eight rows of two sequences, rotated and appended to a cache full of NaN: by the reference in
// host memory and by a kernel in a copy of it, whose bytes must come out the same but for rounding
// of what was rotated.
class AppendProblem {
 public:
  static constexpr int64_t kHeads = 6;
  static constexpr int64_t kKvHeads = 3;
  static constexpr int64_t kBlockTokens = 4;

  AppendProblem(ElementType type, int64_t head_dim, int64_t rotated_dims)
      : dim(head_dim),
        rotated(rotated_dims),
        cache({type, kKvHeads, dim, kBlockTokens}, {11, 6}, rng) {
    for (int64_t p = 3; p < 10; ++p) places.push_back({p, cache.table(0)});
    places.push_back({5, cache.table(1)});
    // Angles with exact products, so that the rotated numbers are the same on every machine.
    cos.assign(static_cast<size_t>(11 * rotated / 2), 0.5f);
    sin.assign(cos.size(), -0.25f);
    q = Quarters(rows() * kHeads * dim);
    k = Quarters(rows() * kKvHeads * dim);
    v = Quarters(rows() * kKvHeads * dim);
  }
  int64_t rows() const { return std::ssize(places); }
  RotateAndAppendArgs Args() {
    return {.q = q.data(),
            .k = k.data(),
            .v = v.data(),
            .rows = rows(),
            .heads = kHeads,
            .rotated_dims = rotated,
            .cos = cos.data(),
            .sin = sin.data(),
            .places = places.data(),
            .cache = cache.layer()};
  }

 private:
  std::mt19937 rng = SeededGenerator();

  std::vector<float> Quarters(int64_t count) {
    std::uniform_int_distribution<int> quarter(-40, 40);
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(quarter(rng)) / 4;
    return values;
  }

 public:
  int64_t dim, rotated;
  CacheUnderTest cache;
  std::vector<RowPlace> places;
  std::vector<float> cos, sin, q, k, v;
};

TEST_P(RowKernels, RotateAndAppendStoresTheSameBytes) {
  SCOPED_TRACE(RerunHint());
  for (const ElementType type : {ElementType::kFp16, ElementType::kBf16, ElementType::kFp8,
                                 ElementType::kInt8, ElementType::kInt4}) {
    for (const auto& [dim, rotated] :
         {std::pair(64, 64), {80, 32}, {96, 0}, {128, 128}, {256, 6}}) {
      SCOPED_TRACE(testing::Message() << NameOf(type) << " " << dim << " " << rotated);
      AppendProblem problem(type, dim, rotated);
      RotateAndAppendArgs args = problem.Args();
      args.q = Put(problem.q);
      args.k = Put(problem.k);
      args.v = Put(problem.v);
      args.cos = Put(problem.cos);
      args.sin = Put(problem.sin);
      args.cache.pool = Put(problem.cache.bytes());
      std::vector<RowPlace> places = problem.places;
      const std::vector<int32_t> tables[] = {{problem.cache.table(0), problem.cache.table(0) + 3},
                                             {problem.cache.table(1), problem.cache.table(1) + 2}};
      const int32_t* const on_device[] = {Put(tables[0]), Put(tables[1])};
      for (RowPlace& place : places) {
        place.table = on_device[place.table == problem.cache.table(0) ? 0 : 1];
      }
      args.places = Put(places);
      ASSERT_TRUE(ops().rotate_and_append(args).ok());
      const auto bytes = Get(args.cache.pool, std::ssize(problem.cache.bytes()));
      const auto q = Get(args.q, std::ssize(problem.q));
      const auto k = Get(args.k, std::ssize(problem.k));

      ASSERT_TRUE(ReferenceOps().rotate_and_append(problem.Args()).ok());
      EXPECT_EQ(q, problem.q);
      EXPECT_EQ(k, problem.k);
      EXPECT_EQ(bytes, problem.cache.bytes());
    }
  }
}

TEST_P(RowKernels, RotateAndAppendRefusesWhatItCannotStore) {
  AppendProblem problem(ElementType::kFp32, 64, 64);
  EXPECT_EQ(ops().rotate_and_append(problem.Args()).message(),
            "rotate_and_append: no kernel for this type or shape");
}

INSTANTIATE_TEST_SUITE_P(All, RowKernels, testing::ValuesIn(KernelDevices()), DeviceName);

}  // namespace
}  // namespace plimsoll
