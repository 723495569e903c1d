#include "engine/decoder/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "engine/decoder/layer_weights.h"
#include "engine/ops/sampling_rule.h"
#include "kvcache/model/config_reader.h"
#include "tests/engine/decoder/naive_llama.h"
#include "tests/engine/support/tiny_model.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;

// With the cache in fp32 and sums in double, the reference is as exact as fp32 between operations.
constexpr double kExact = 2e-5;
// What rounding K and V to bf16 costs, seen from a model of fp32 throughout.
constexpr double kBf16Cache = 2e-2;
// The same where a row near the border between two experts may go to the other one.
constexpr double kBf16CacheOfExperts = 1e-1;
// What the fast operations may differ from the reference.
constexpr double kFast = 1e-3;
// The same of few rows, where one K or V rounded to the other side shows: 1e-5 to 8e-4 in 160 runs.
constexpr double kFastInBf16 = 5e-3;

std::vector<int32_t> RandomTokens(size_t count, int64_t vocab, std::mt19937& random) {
  std::vector<int32_t> tokens(count);
  for (int32_t& each : tokens) {
    each = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab));
  }
  return tokens;
}

struct Variant {
  const char* name;
  TinyShape shape;
  double bf16_cache = kBf16Cache;
};

std::vector<Variant> Variants() {
  return {
      {"gqa", {}},
      {"mqa", {.kv_heads = 1}},
      {"mha", {.kv_heads = 8}},
      {"tied", {.tied = true}},
      {"fp16", {.dtype = "float16"}},
      {"fp32", {.dtype = "float32"}},
      {"wide heads", {.heads = 4, .head_dim = 32}},
      {"biases", {.more = R"(, "attention_bias": true, "mlp_bias": true)"}},
      {"mistral window",
       {.architecture = "MistralForCausalLM", .more = R"(, "sliding_window": 7)"}},
      {"qwen2", {.architecture = "Qwen2ForCausalLM"}},
      {"qwen3", {.architecture = "Qwen3ForCausalLM"}},
      {"gemma",
       {.architecture = "GemmaForCausalLM",
        .hidden = 72,  // whose root is not a number of bf16
        .heads = 4,
        .kv_heads = 1,
        .head_dim = 32,
        .tied = true}},
      {"gemma in fp32",
       {.architecture = "GemmaForCausalLM", .hidden = 72, .tied = true, .dtype = "float32"}},
      {"gemma2",
       {.architecture = "Gemma2ForCausalLM",
        .layers = 4,
        .head_dim = 16,
        .tied = true,
        .dtype = "float16",
        .more = R"(, "sliding_window": 7, "query_pre_attn_scalar": 20,
        "attn_logit_softcapping": 3.0, "final_logit_softcapping": 2.5)"}},
      {"gemma2 without caps",
       {.architecture = "Gemma2ForCausalLM", .tied = true, .more = R"(, "sliding_window": null,
        "attn_logit_softcapping": null, "final_logit_softcapping": null)"}},
      {"phi3", {.architecture = "Phi3ForCausalLM", .more = R"(, "sliding_window": 11)"}},
      {"phi3 partial longrope",
       {.architecture = "Phi3ForCausalLM",
        .kv_heads = 8,
        .more = R"(, "partial_rotary_factor": 0.75, "original_max_position_embeddings": 16,
                  "rope_scaling": {"type": "longrope", "short_factor": [1, 1.1, 1.2],
                  "long_factor": [2, 3, 4]})"}},
      {"mixtral",
       {.architecture = "MixtralForCausalLM",
        .more = R"(, "num_local_experts": 4, "num_experts_per_tok": 2)"},
       kBf16CacheOfExperts},
      {"qwen3 experts",
       {.architecture = "Qwen3MoeForCausalLM", .more = R"(, "num_experts": 6,
        "num_experts_per_tok": 3, "moe_intermediate_size": 40, "mlp_only_layers": [1],
        "norm_topk_prob": true)"},
       kBf16CacheOfExperts},
      {"qwen2 shared expert",
       {.architecture = "Qwen2MoeForCausalLM", .more = R"(, "num_experts": 5,
        "num_experts_per_tok": 2, "moe_intermediate_size": 40,
        "shared_expert_intermediate_size": 120)"},
       kBf16CacheOfExperts},
      {"linear", {.more = R"(, "rope_scaling": {"type": "linear", "factor": 4.0})"}},
      {"dynamic", {.more = R"(, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0,
                  "original_max_position_embeddings": 16})"}},
      {"llama3",
       {.more = R"(, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                  "high_freq_factor": 4.0, "original_max_position_embeddings": 64})"}},
      {"yarn", {.more = R"(, "rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                  "original_max_position_embeddings": 128})"}},
      {"longrope", {.more = R"(, "rope_scaling": {"rope_type": "longrope", "factor": 4.0,
                  "original_max_position_embeddings": 16, "short_factor": [1, 1.1, 1.2, 1.3],
                  "long_factor": [2, 3, 4, 5]})"}},
  };
}

class EveryVariant : public testing::TestWithParam<Variant> {};

TEST_P(EveryVariant, ReferenceAgreesWithAModelWithoutCache) {
  const TinyModel model(GetParam().shape);
  std::mt19937 random(1);
  const std::vector<int32_t> tokens = RandomTokens(33, model.config.vocab_size, random);
  const std::vector<float> want = NaiveLlama(model.config, *model.weights).Logits(tokens);
  TinyEngine exact(model, ReferenceOps(), {.kv = ElementType::kFp32});
  EXPECT_LT(RelativeError(exact.LogitsOf(tokens, 33), want), kExact);
  TinyEngine rounded(model, ReferenceOps(), {.kv = ElementType::kBf16});
  EXPECT_LT(RelativeError(rounded.LogitsOf(tokens, 33), want), GetParam().bf16_cache);
}

// Without rounding in the cache, fast and reference differ by the order of sums and no more.
TEST_P(EveryVariant, FastAgreesWithReferenceHoweverThePromptIsCut) {
  const TinyModel model(GetParam().shape);
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const std::vector<int32_t> tokens = RandomTokens(40, model.config.vocab_size, random);
  TinyEngine reference(model, ReferenceOps(), {.kv = ElementType::kFp32});
  TinyEngine fast(model, CpuOps(), {.kv = ElementType::kFp32});
  const std::vector<float> want = reference.LogitsOf(tokens, 40);
  for (const size_t chunk : {1u, 3u, 4u, 7u, 40u}) {
    SCOPED_TRACE(chunk);
    EXPECT_LT(RelativeError(fast.LogitsOf(tokens, chunk), want), kExact);
  }
}

TEST_P(EveryVariant, ChunksOfAnySizeGiveTheSameBits) {
  const TinyModel model(GetParam().shape);
  std::mt19937 random(2);
  const std::vector<int32_t> tokens = RandomTokens(30, model.config.vocab_size, random);
  TinyEngine fast(model, CpuOps(), {});
  const std::vector<float> whole = fast.LogitsOf(tokens, 30);
  for (const size_t chunk : {1u, 4u, 7u}) EXPECT_EQ(fast.LogitsOf(tokens, chunk), whole) << chunk;
}

INSTANTIATE_TEST_SUITE_P(Models, EveryVariant, testing::ValuesIn(Variants()), [](const auto& each) {
  std::string name = each.param.name;
  std::erase(name, ' ');
  return name;
});

// What differs between two runs, and by how much, over all rows and in the worst.
struct Differences {
  std::vector<float> got, want;
  double worst = 0;

  void Add(std::span<const float> its_got, std::span<const float> its_want) {
    got.insert(got.end(), its_got.begin(), its_got.end());
    want.insert(want.end(), its_want.begin(), its_want.end());
    worst = std::max(worst, RelativeError(its_got, its_want));
  }
  double overall() const { return RelativeError(got, want); }
};

// In bf16, where the two may round a K or V to different sides, on heads of a usual width.
TEST(Decoder, FastAgreesWithReferenceInBf16AcrossBlockBorders) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  const TinyModel model({.hidden = 256, .intermediate = 704, .head_dim = 32, .vocab = 512});
  TinyEngine reference(model, ReferenceOps(), {.block_tokens = Tokens(16)});
  TinyEngine fast(model, CpuOps(), {.block_tokens = Tokens(16)});
  Differences all;
  for (const size_t length : {15u, 16u, 17u, 33u, 58u}) {
    const std::vector<int32_t> tokens = RandomTokens(length, model.config.vocab_size, random);
    const std::vector<float> want = reference.LogitsOf(tokens, length);
    for (const size_t chunk : {1u, 7u, 58u}) {
      SCOPED_TRACE(std::to_string(length) + " tokens by " + std::to_string(chunk));
      all.Add(fast.LogitsOf(tokens, chunk), want);
    }
  }
  EXPECT_LT(all.overall(), kFastInBf16);
  EXPECT_LT(all.worst, kBf16Cache);
}

TEST(Decoder, ChunksOfAnySizeGiveTheReferenceTheSameBits) {
  const TinyModel model(TinyShape{});
  std::mt19937 random(2);
  const std::vector<int32_t> tokens = RandomTokens(30, model.config.vocab_size, random);
  TinyEngine engine(model, ReferenceOps(), {});
  const std::vector<float> whole = engine.LogitsOf(tokens, 30);
  for (const size_t chunk : {1u, 4u, 5u}) EXPECT_EQ(engine.LogitsOf(tokens, chunk), whole) << chunk;
}

// Routers of zeros give all experts the same logit: every row goes to the first two, half to each,
// and nobody to the others.
TEST(Decoder, EqualExpertsAreUsedInOrderByEveryRow) {
  const TinyModel model({.architecture = "MixtralForCausalLM",
                         .more = R"(, "num_local_experts": 4, "num_experts_per_tok": 2)"});
  for (int layer = 0; layer < 3; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".block_sparse_moe.";
    const auto fill = [&](const std::string& name, std::byte with) {
      const WeightView view = model.weights->Find(prefix + name);
      std::fill_n(const_cast<std::byte*>(view.data), 2 * view.rows * view.cols, with);
    };
    fill("gate.weight", std::byte{0});
    fill("experts.2.w1.weight", std::byte{0xff});  // NaN, in case anybody looks
    fill("experts.3.w2.weight", std::byte{0xff});
  }
  const std::vector<int32_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6, 5};
  const std::vector<float> want = NaiveLlama(model.config, *model.weights).Logits(tokens);
  for (const Ops* const ops : AllOps()) {
    TinyEngine engine(model, *ops, {.kv = ElementType::kFp32});
    EXPECT_LT(RelativeError(engine.LogitsOf(tokens, 9), want), kExact) << ops->name;
    EXPECT_LT(RelativeError(engine.LogitsOf(tokens, 1), want), kExact) << ops->name;
  }
}

struct Running {
  SequenceId id;
  std::vector<int32_t> tokens;
  std::vector<float> want;
  size_t done = 0;
};

// One pass over the next few tokens of every sequence; those that are through end.
void StepAll(TinyEngine& engine, std::vector<Running>& running, std::mt19937& random,
             Differences& differences) {
  const size_t vocab = static_cast<size_t>(engine.decoder->model().vocab_size);
  std::vector<BatchEntry> batch;
  for (const Running& each : running) {
    const size_t count = std::min(each.tokens.size() - each.done, 1 + random() % 9);
    batch.push_back(engine.Append(each.id, std::span(each.tokens).subspan(each.done, count)));
  }
  const std::vector<float> all = engine.Forward(batch);
  std::span<const float> logits = all;
  for (size_t i = 0; i < running.size(); ++i) {
    const size_t count = batch[i].tokens.size();
    differences.Add(logits.first(count * vocab),
                    std::span(running[i].want).subspan(running[i].done * vocab, count * vocab));
    logits = logits.subspan(count * vocab);
    running[i].done += count;
  }
  std::erase_if(running, [&](const Running& each) {
    const bool over = each.done == each.tokens.size();
    if (over) engine.cache->End(each.id);
    return over;
  });
}

// Sequences of different lengths at different points, in one batch, with blocks that come back from
// others: each must read as if it were alone.
Differences RunRagged(ElementType kv, std::mt19937& random) {
  const TinyModel model(TinyShape{});
  TinyEngine alone(model, ReferenceOps(), {.kv = kv});
  TinyEngine together(model, CpuOps(), {.kv = kv, .blocks = Blocks(40)});
  std::vector<Running> running;
  Differences differences;
  for (int step = 0; step < 60; ++step) {
    if (running.size() < 5) {
      std::vector<int32_t> tokens =
          RandomTokens(1 + random() % 28, model.config.vocab_size, random);
      std::vector<float> want = alone.LogitsOf(tokens, tokens.size());
      running.push_back({together.Begin(), std::move(tokens), std::move(want)});
    }
    StepAll(together, running, random, differences);
    together.cache->CheckInvariants();
  }
  return differences;
}

TEST(Decoder, SequencesOfARaggedBatchDoNotTouchEachOther) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  // Without rounding in the cache every single row is close.
  const Differences exact = RunRagged(ElementType::kFp32, random);
  EXPECT_LT(exact.worst, kExact);
  // In bf16 the last bit of a K or V may fall either way, which one short row shows.
  const Differences rounded = RunRagged(ElementType::kBf16, random);
  EXPECT_LT(rounded.overall(), kFast);
  EXPECT_LT(rounded.worst, kBf16Cache);
}

TEST(Decoder, OnlyTheLogitsAskedForAreReturned) {
  const TinyModel model(TinyShape{});
  const size_t vocab = static_cast<size_t>(model.config.vocab_size);
  const std::vector<int32_t> tokens = {5, 6, 7, 8, 9};
  TinyEngine engine(model, ReferenceOps(), {});
  const std::vector<float> all = engine.LogitsOf(tokens, tokens.size());
  BatchEntry quiet = engine.Append(engine.Begin(), tokens);
  quiet.want_logits = false;
  const BatchEntry last = engine.Append(engine.Begin(), tokens, /*all_logits=*/false);
  const std::vector<BatchEntry> batch = {quiet, last};
  const std::vector<float> got = engine.Forward(batch);
  EXPECT_EQ(got, std::vector<float>(all.end() - static_cast<std::ptrdiff_t>(vocab), all.end()));
  EXPECT_TRUE(engine.Forward({&quiet, 1}).empty());
}

// Memory is what was asked for and no more: the buffers of the pass and the rotary table.
TEST(Decoder, BufferBytesCountEveryBuffer) {
  const TinyModel model(TinyShape{});  // hidden 64, 8 x 8 heads, 2 kv heads, 96 wide, 101 tokens
  TinyEngine engine(
      model, ReferenceOps(),
      {.blocks = Blocks(16), .decoder = {.max_batched_tokens = Tokens(16), .max_logit_rows = 16}});
  const int64_t floats = 16 * (64 + 64 + 64 + 16 + 16 + 64 + 96 + 96 + 64 + 101);
  const int64_t blocks = engine.arena->committed_bytes() / engine.layout.block_bytes;
  const int64_t angles = 2 * 4 * (4 * blocks);    // of 4 pairs, at 4 positions a block
  const int64_t inputs = 16 * (4 + 16 + 4 + 24);  // ids, places, picked, draws
  const int64_t tables = 4 * 16 * blocks;
  const int64_t drawn = 16 * 4;
  EXPECT_EQ(engine.decoder->buffer_bytes(),
            Bytes(4 * floats + 4 * angles + inputs + tables + drawn));
}

TEST(Decoder, AModelItCannotRunIsRefusedByName) {
  const auto gemma =
      ParseModelConfig(TinyShape{.architecture = "Gemma3ForCausalLM"}.Config(), "gemma");
  ASSERT_TRUE(gemma.ok()) << gemma.status();
  const absl::Status status = CheckDecodable(*gemma);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no decoder for Gemma3ForCausalLM"));
}

TEST(Decoder, AVocabularyThatWeightsCannotBeSummedOverIsRefused) {
  auto model = ParseModelConfig(TinyShape{}.Config(), "m");
  ASSERT_TRUE(model.ok()) << model.status();
  model->vocab_size = kVocabMost;
  EXPECT_TRUE(CheckDecodable(*model).ok());
  model->vocab_size = kVocabMost + 1;
  EXPECT_EQ(
      CheckDecodable(*model),
      absl::UnimplementedError("no decoder for a vocabulary of 4194305; want at most 4194304"));
}

TEST(Decoder, ATableWithoutWhatAModelNeedsIsRefusedByName) {
  const TinyModel model({.architecture = "MixtralForCausalLM",
                         .more = R"(, "num_local_experts": 4, "num_experts_per_tok": 2)"});
  const TinyEngine engine(model, CpuOps(), {});
  Ops ops = CpuOps();
  ops.name = "abacus";
  ops.experts = nullptr;
  const absl::Status status = Decoder::Create(model.config, *model.weights, {CpuBackend(), ops},
                                              engine.layout, *engine.arena, {})
                                  .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(status.message(), "no experts on abacus, which MixtralForCausalLM needs");
}

TEST(Decoder, QuantisedWeightsAreRefusedByName) {
  const auto model = ParseModelConfig(
      TinyShape{.more = R"(, "quantization_config": {"quant_method": "fp8"})"}.Config(), "m");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(std::string(CheckDecodable(*model).message()), HasSubstr("fp8"));
}

TEST(DecoderDeathTest, ABatchThatBreaksItsPromisesAborts) {
  const TinyModel model(TinyShape{});
  TinyEngine engine(model, ReferenceOps(), {});
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5};
  BatchEntry entry = engine.Append(engine.Begin(), tokens);
  entry.first_position = 100;  // the table covers 8
  EXPECT_DEATH(engine.Forward({&entry, 1}), "check failed");
  entry.first_position = -1;
  EXPECT_DEATH(engine.Forward({&entry, 1}), "check failed");
}

}  // namespace
}  // namespace plimsoll
