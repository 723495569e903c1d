// Checkpoints that other programs quantised: every element against the floats it stands for, and a
// decoder over one against a decoder over the other.
#include "engine/weights/packed_source.h"

#include <gmock/gmock.h>

#include <fstream>

#include "engine/engine.h"
#include "engine/ops/weight_element.h"
#include "tests/engine/weights/quantised_checkpoint.h"

namespace plimsoll {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TinyModel Read(const std::string& folder) {
  absl::StatusOr<ModelConfig> config = ReadModelConfig(folder);
  PLIMSOLL_CHECK(config.ok(), config.status());
  absl::StatusOr<std::unique_ptr<Weights>> weights = Weights::Load(folder, *config);
  PLIMSOLL_CHECK(weights.ok(), weights.status());
  return {*std::move(config), *std::move(weights)};
}

absl::Status LoadStatus(const std::string& folder) {
  const absl::StatusOr<ModelConfig> config = ReadModelConfig(folder);
  PLIMSOLL_CHECK(config.ok(), config.status());
  return Weights::Load(folder, *config).status();
}

class EveryPackedFormat : public testing::TestWithParam<PackedFormat> {};

TEST_P(EveryPackedFormat, HasTheElementsThatItsNumbersStandFor) {
  const QuantisedTwins twins(GetParam());
  const TinyModel packed = Read(twins.packed());
  const TinyModel floats = Read(twins.floats());
  const ElementType type = GetParam().bits == 4 ? ElementType::kInt4 : ElementType::kInt8;
  ForEachTensor(floats.config, [&](const std::string& name, const TensorSpec& spec) {
    const WeightView got = packed.weights->Find(name);
    const WeightView want = floats.weights->Find(name);
    EXPECT_EQ(got.type, IsMatrix(spec.role) ? type : ElementType::kBf16) << name;
    for (int64_t i = 0; i < want.rows * want.cols; ++i) {
      const double value = WeightElement(want, i / want.cols, i % want.cols);
      if (WeightElement(got, i / want.cols, i % want.cols) == value) continue;
      ADD_FAILURE() << name << " element " << i;
      return false;
    }
    return true;
  });
}

TEST_P(EveryPackedFormat, TakesWhatThePlanSays) {
  const QuantisedTwins twins(GetParam());
  const TinyModel packed = Read(twins.packed());
  const auto held = EngineStorageOf(*packed.config.storage);
  ASSERT_TRUE(held);
  EXPECT_EQ(packed.weights->tensor_bytes(), WeightBytesOf(packed.config, *held).total);
  const SimulatedClock clock;
  const auto engine =
      Engine::Create({.model_path = twins.packed(), .device = "cpu", .blocks = Blocks(4)}, clock);
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)->plan().weights_bytes, packed.weights->tensor_bytes());
}

TEST_P(EveryPackedFormat, GivesTheLogitsOfTheFloats) {
  const QuantisedTwins twins(GetParam());
  const TinyModel packed = Read(twins.packed());
  const TinyModel floats = Read(twins.floats());
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 20; ++i) tokens.push_back(i * 7 % 101);
  for (const Ops* const ops : AllOps()) {
    TinyEngine got(packed, *ops, {.kv = ElementType::kFp32});
    TinyEngine want(floats, ReferenceOps(), {.kv = ElementType::kFp32});
    EXPECT_LT(RelativeError(got.LogitsOf(tokens, 20), want.LogitsOf(tokens, 20)), 1e-3)
        << ops->name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, EveryPackedFormat,
    testing::Values(
        PackedFormat{.name = "PackedInt4", .method = "compressed-tensors", .zeros = false},
        PackedFormat{.name = "PackedInt4WithZeros", .method = "compressed-tensors", .group = 64},
        PackedFormat{.name = "PackedInt4ByRow", .method = "compressed-tensors", .group = 0},
        PackedFormat{.name = "PackedInt8ByRow",
                     .method = "compressed-tensors",
                     .bits = 8,
                     .group = 0,
                     .zeros = false},
        PackedFormat{
            .name = "PackedInt8", .method = "compressed-tensors", .bits = 8, .zeros = false},
        PackedFormat{.name = "Gptq", .method = "gptq"},
        PackedFormat{.name = "GptqV2", .method = "gptq", .group = 64, .variant = "gptq_v2"},
        PackedFormat{.name = "GptqByRow", .method = "gptq", .group = 0},
        PackedFormat{.name = "Awq", .method = "awq"},
        PackedFormat{.name = "AwqByRow", .method = "awq", .group = 0}),
    [](const auto& format) { return format.param.name; });

TEST(PackedSource, InputsOutOfOrderAreRefusedByName) {
  const QuantisedTwins twins({.method = "gptq", .act_order = true});
  const absl::Status status = LoadStatus(twins.packed());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("_proj.g_idx"), HasSubstr("act-order")));
}

TEST(PackedSource, APartOfAnotherShapeIsRefusedByName) {
  const QuantisedTwins twins({.method = "compressed-tensors"});
  TinyShape other{.layers = 2, .intermediate = 104};
  other.more = PackedFormat{.method = "compressed-tensors"}.Config();
  std::ofstream(twins.packed() + "/config.json") << other.Config();
  const absl::Status status = LoadStatus(twins.packed());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("weight_packed: shape=["));
}

// The same bytes under a config.json that says another group.
TEST(PackedSource, AGroupSizeThatTheScalesContradictIsRefusedByName) {
  for (const std::string method : {"compressed-tensors", "gptq", "awq"}) {
    for (const auto& [stored, said] : {std::pair<int64_t, int64_t>(32, 64), {0, 32}, {32, 0}}) {
      const QuantisedTwins twins({.method = method, .group = stored});
      TinyShape shape{.layers = 2};
      shape.more = PackedFormat{.method = method, .group = said}.Config();
      std::ofstream(twins.packed() + "/config.json") << shape.Config();
      const absl::Status status = LoadStatus(twins.packed());
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << method;
      const auto name = [](int64_t group) {
        return group == 0 ? "a whole row" : std::to_string(group);
      };
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr("scale"), HasSubstr("group_size=" + name(said) + ": want " +
                                                      name(stored) + ", by its shape")))
          << method;
    }
  }
}

// Layouts of which the numbers would be read in the wrong order, or not at all.
TEST(PackedSource, UnknownStorageIsRefusedBeforeAnythingIsRead) {
  const auto status_of = [](QuantizedStorage storage) {
    ModelConfig model;
    model.quantization = "some";
    model.storage = std::move(storage);
    return CheckStorage(model);
  };
  EXPECT_TRUE(status_of({.format = StorageFormat::kGptq}).ok());
  EXPECT_TRUE(status_of({.format = StorageFormat::kAwq, .variant = "GEMM"}).ok());
  for (const QuantizedStorage& bad :
       {QuantizedStorage{.format = StorageFormat::kAwq, .group = 64, .variant = "gemv"},
        QuantizedStorage{.format = StorageFormat::kGptq, .group = 64, .variant = "marlin"},
        QuantizedStorage{.format = StorageFormat::kInt8Channel, .variant = "int-quantized"},
        QuantizedStorage{.format = StorageFormat::kFp8Tensor}}) {
    const absl::Status status = status_of(bad);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(status.message()), HasSubstr("no decoder for " + NameOf(bad)));
  }
}

TEST(PackedSource, RoundingWhatIsRoundedAlreadyIsRefused) {
  const QuantisedTwins twins({.method = "awq"});
  const SimulatedClock clock;
  const auto engine = Engine::Create({.model_path = twins.packed(),
                                      .device = "cpu",
                                      .blocks = Blocks(4),
                                      .weights = ElementType::kInt8},
                                     clock);
  EXPECT_THAT(std::string(engine.status().message()), HasSubstr("quantised already: awq"));
}

// The model with its matrices scaled by 1 / sqrt(fan in), as networks are when they begin to be
// trained. The models that are made have half as much again, which makes attention sharp, so that a
// wrong position shows: there an error more than doubles over four layers, too.
TinyModel Calmed(const TinyModel& model, const std::string& folder) {
  CheckpointText calm;
  ForEachTensor(model.config, [&](const std::string& name, const TensorSpec& spec) {
    const WeightView view = model.weights->Find(name);
    const bool matrix = IsMatrix(spec.role) || spec.role == TensorRole::kHead;
    std::vector<float> values;
    for (int64_t i = 0; i < view.rows * view.cols; ++i) {
      const double value = WeightElement(view, i / view.cols, i % view.cols);
      values.push_back(static_cast<float>(value) * (matrix ? 2.0f / 3 : 1.0f));
    }
    calm.Add(name, spec.shape, ElementType::kBf16, values);
    return true;
  });
  calm.Write(folder + "/model.safetensors");
  return {model.config, *Weights::Load(folder, model.config)};
}

// What rounding costs: logits of 4 layers against those of the 16-bit weights. The README has the
// figures.
TEST(QuantisedWeights, AreThisFarFromTheUnquantised) {
  const TinyModel made({.layers = 4, .hidden = 256, .intermediate = 512, .head_dim = 32});
  const TempDir dir;
  const TinyModel model = Calmed(made, dir.path());
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 24; ++i) tokens.push_back(i * 7 % 101);
  TinyEngine plain(model, CpuOps(), {.kv = ElementType::kFp32});
  const std::vector<float> want = plain.LogitsOf(tokens, 24);
  for (const auto& [type, bound] :
       {std::pair(ElementType::kInt8, 2e-2), std::pair(ElementType::kInt4, 0.3)}) {
    auto weights = Weights::Load(dir.path(), model.config, type);
    ASSERT_TRUE(weights.ok()) << weights.status();
    const TinyModel rounded(model.config, *std::move(weights));
    TinyEngine engine(rounded, CpuOps(), {.kv = ElementType::kFp32});
    const double distance = RelativeError(engine.LogitsOf(tokens, 24), want);
    EXPECT_LT(distance, bound) << NameOf(type);
    EXPECT_GT(distance, bound / 10) << NameOf(type);
    RecordProperty(std::string(NameOf(type)), std::to_string(distance));
  }
}

}  // namespace
}  // namespace plimsoll
