// The decoder over CUDA's kernels, on the emulator and on a GPU: logits beside those of the
// reference over the same weights, for every type of weights and cache.
#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "engine/decoder/cuda_limits.h"
#include "tests/engine/decoder/cuda_shapes.h"
#include "tests/engine/ops/device_problem.h"

namespace plimsoll {
namespace {

struct Case {
  std::string name;
  TinyShape shape;
  std::optional<ElementType> weights;
  ElementType kv;
  double tolerance;  // of logits: activations are rounded to 16 bits before each product

  friend void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }
};

std::vector<Case> Cases() {
  TinyShape qwen = CudaShape();
  qwen.architecture = "Qwen3ForCausalLM";
  TinyShape half = CudaShape();
  half.dtype = "float16";
  // Rounding may give a row another expert where two logits are all but equal, which is no error of
  // a product: these models have no such rows.
  TinyShape qwen_experts = half;  // beside a plain layer
  qwen_experts.architecture = "Qwen3MoeForCausalLM";
  qwen_experts.more = R"(, "num_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 64)"
                      R"(, "mlp_only_layers": [0], "norm_topk_prob": true)";
  TinyShape shared = half;
  shared.architecture = "Qwen2MoeForCausalLM";
  shared.more = R"(, "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 64)"
                R"(, "shared_expert_intermediate_size": 192)";
  TinyShape mixtral_bf16 = MixtralShape();
  mixtral_bf16.dtype = "bfloat16";
  // A number of a narrow cache that lies between two steps may be rounded either way: there the
  // distance is a share of what the cache itself costs.
  // Of Bf16Experts one row in 50 is near a tie of its router and goes to another expert: 0.16 off.
  return {{"Bf16", CudaShape(), {}, ElementType::kBf16, 1.5e-2},
          {"Fp16", half, {}, ElementType::kFp16, 2e-3},
          {"Int8Weights", half, ElementType::kInt8, ElementType::kFp16, 2e-3},
          {"Int4Weights", half, ElementType::kInt4, ElementType::kFp16, 2e-3},
          {"Int8Cache", half, {}, ElementType::kInt8, 1.5e-2},
          {"Int4CacheAndWeights", half, ElementType::kInt4, ElementType::kInt4, 0.15},
          {"Fp8Cache", half, {}, ElementType::kFp8, 4e-2},
          {"NormsOfHeads", qwen, {}, ElementType::kBf16, 1.5e-2},
          {"CapsAndWindows", GemmaShape(), {}, ElementType::kBf16, 3e-2},
          {"Experts", MixtralShape(), {}, ElementType::kFp16, 2e-3},
          {"Int8Experts", MixtralShape(), ElementType::kInt8, ElementType::kFp16, 2e-3},
          {"Int4Experts", MixtralShape(), ElementType::kInt4, ElementType::kFp16, 2e-3},
          {"Bf16Experts", mixtral_bf16, {}, ElementType::kBf16, 3e-2},
          {"ExpertsBesideAPlainLayer", qwen_experts, {}, ElementType::kFp16, 2e-3},
          {"SharedExpert", shared, {}, ElementType::kFp16, 2e-3}};
}

class CudaDecoder : public testing::TestWithParam<std::tuple<Case, KernelDevice>> {
 protected:
  const Case& test() const { return std::get<0>(GetParam()); }
  const KernelDevice& device() const { return std::get<1>(GetParam()); }
};

std::vector<int32_t> Prompt(int64_t count, int32_t step) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back(i * step % 101);
  return tokens;
}

// Two prompts, of which one comes in two chunks beside the other, then a token each: all logits.
std::vector<float> LogitsOf(TinyEngine& engine) {
  const std::vector<int32_t> longer = Prompt(40, 37);
  const std::vector<int32_t> shorter = Prompt(9, 11);
  const SequenceId a = engine.Begin();
  const SequenceId b = engine.Begin();
  std::vector<float> all;
  const auto pass = [&](std::span<const int32_t> of_a, std::span<const int32_t> of_b) {
    const BatchEntry batch[] = {engine.Append(a, of_a), engine.Append(b, of_b)};
    const std::vector<float> logits = engine.Forward(batch);
    all.insert(all.end(), logits.begin(), logits.end());
  };
  pass(std::span(longer).first(33), std::span(shorter).first(8));
  pass(std::span(longer).subspan(33, 6), std::span(shorter).last(1));
  pass(std::span(longer).last(1), std::span(shorter).first(1));
  return all;
}

TEST_P(CudaDecoder, LogitsAgreeWithTheReference) {
  if (device().seed != 0) emulator::SetSeed(device().seed);
  const TinyEngine::Options options = {.kv = test().kv, .block_tokens = Tokens(16)};
  const TinyModel judged(test().shape, test().weights);
  TinyEngine judge(judged, ReferenceOps(), options);
  const TinyModel model(test().shape, test().weights);
  ASSERT_TRUE(model.weights->MoveTo(*device().backend).ok());
  TinyEngine engine(model, device().backend->ops(), options, *device().backend);
  EXPECT_LT(RelativeError(LogitsOf(engine), LogitsOf(judge)), test().tolerance);
}

TEST(CudaLimits, AreSaidBeforeAnEngineStarts) {
  const KernelDevice device = KernelDevices().front();
  const auto why = [&](const TinyShape& shape, ElementType kv, int64_t block_tokens) {
    const TinyModel model(shape);
    const absl::StatusOr<CacheLayout> layout =
        CacheLayoutFor(model.config, kv, Tokens(block_tokens));
    const absl::Status status = CheckCudaLimits(model.config, *layout, *device.backend);
    EXPECT_TRUE(CheckCudaLimits(model.config, *layout, CpuBackend()).ok());
    return std::string(status.message());
  };
  TinyShape shape = CudaShape();
  EXPECT_EQ(why(shape, ElementType::kBf16, 16), "");
  EXPECT_EQ(why(shape, ElementType::kBf16, 8), "cuda: block_tokens=8: want at least 16");
  EXPECT_EQ(why(shape, ElementType::kFp32, 16),
            "cuda: kv=fp32: want fp16, bf16, fp8, int8 or int4");
  shape.intermediate = 100;
  EXPECT_EQ(why(shape, ElementType::kBf16, 16),
            "cuda: intermediate_size=100: want a multiple of 64");
  shape.intermediate = 192;
  TinyShape experts = shape;
  experts.architecture = "Qwen3MoeForCausalLM";
  experts.more = R"(, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 40)";
  EXPECT_EQ(why(experts, ElementType::kBf16, 16),
            "cuda: width of experts=40: want a multiple of 64");
  shape.head_dim = 32;
  EXPECT_EQ(why(shape, ElementType::kBf16, 16), "cuda: head_dim=32: want 64, 80, 96, 128 or 256");
}

std::string NameOfCase(const testing::TestParamInfo<CudaDecoder::ParamType>& param) {
  return std::get<0>(param.param).name + std::get<1>(param.param).name;
}

INSTANTIATE_TEST_SUITE_P(All, CudaDecoder,
                         testing::Combine(testing::ValuesIn(Cases()),
                                          testing::ValuesIn(KernelDevices())),
                         NameOfCase);

}  // namespace
}  // namespace plimsoll
