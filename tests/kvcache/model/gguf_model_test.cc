// Models from GGUF headers: published sizes to the byte, what each architecture keeps of a token,
// and every file that contradicts itself.
#include "kvcache/model/gguf_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/training_plan.h"
#include "tests/kvcache/model/gguf_writer.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<ModelConfig> ModelOf(const GgufWriter& file) {
  const absl::StatusOr<GgufHeader> header = ParseGgufHeader(file.Head(), file.FileBytes());
  if (!header.ok()) return header.status();
  return ModelFromGguf(*header, "test");
}

ModelConfig Accepted(const GgufWriter& file) {
  const absl::StatusOr<ModelConfig> model = ModelOf(file);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : ModelConfig{};
}

std::string Refusal(const GgufWriter& file) {
  const absl::StatusOr<ModelConfig> model = ModelOf(file);
  return model.ok() ? "accepted" : std::string(model.status().message());
}

// The pairs of a LLaMA-like file without its tensors, for architectures whose tensors differ.
GgufWriter Bare(const std::string& architecture, int64_t blocks, int64_t hidden) {
  GgufWriter file;
  file.Text("general.architecture", architecture);
  file.Number(architecture + ".block_count", static_cast<uint32_t>(blocks));
  file.Number(architecture + ".embedding_length", static_cast<uint32_t>(hidden));
  file.Number(architecture + ".context_length", 4096);
  file.Tensor("token_embd.weight", "F16", {100, hidden});
  return file;
}

// Worked by hand. Matrices of one block: q 64x64, k and v 32x64, output 64x64, three of 96x64.
TEST(GgufModel, ASmallModelIsCountedToTheElementAndTheByte) {
  const ModelConfig model = Accepted(Written({}));
  const int64_t block = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64, ends = 2 * 100 * 64;
  EXPECT_EQ(model.Parameters(), 2 * (block + 2 * 64) + ends + 64);
  ASSERT_TRUE(model.headers.has_value());
  EXPECT_EQ(model.headers->loaded.bytes, Bytes(2 * (2 * block + ends) + 4 * 5 * 64));
  EXPECT_EQ(model.layers, 2);
  EXPECT_EQ(model.vocab_size, 100);
  EXPECT_EQ(model.widest_ffn, 96);
  EXPECT_EQ(model.max_context, Tokens(256));
  EXPECT_FALSE(model.tied_embeddings);
  ASSERT_EQ(model.attention.size(), 2u);
  EXPECT_EQ(model.attention[0].kv_heads, 2);
  EXPECT_EQ(model.attention[0].head_dim, 16);
  EXPECT_EQ(model.attention[0].window, std::nullopt);
}

// Sizes as published with the files, of all tensors together.
TEST(GgufModel, PublishedFilesHaveTheirPublishedBytes) {
  const ModelConfig llama = Accepted(Written({.blocks = 32,
                                              .hidden = 4096,
                                              .ffn = 11008,
                                              .heads = 32,
                                              .kv_heads = 32,
                                              .vocabulary = 32000,
                                              .head_dim = 128,
                                              .context = 4096,
                                              .matrices = "Q4_0",
                                              .output = "Q6_K"}));
  EXPECT_EQ(llama.headers->loaded.bytes, Bytes(3'825'065'984));
  EXPECT_EQ(llama.Parameters(), 6'738'415'616);
  const ModelConfig tiny = Accepted(Written({.blocks = 22,
                                             .hidden = 2048,
                                             .ffn = 5632,
                                             .heads = 32,
                                             .kv_heads = 4,
                                             .vocabulary = 32000,
                                             .head_dim = 64,
                                             .context = 2048,
                                             .matrices = "Q4_0",
                                             .output = "Q6_K"}));
  EXPECT_EQ(tiny.headers->loaded.bytes, Bytes(635'990'016));
  EXPECT_EQ(tiny.headers->stored_as, "Q4_0");
  EXPECT_EQ(tiny.headers->width, ElementType::kInt4);
  EXPECT_EQ(tiny.Parameters(), 1'100'048'384);
}

TEST(GgufModel, ASharedEmbeddingCountsOnce) {
  const ModelConfig model = Accepted(Written({.output = ""}));
  EXPECT_TRUE(model.tied_embeddings);
  EXPECT_EQ(Accepted(Written({})).Parameters() - model.Parameters(), 100 * 64);
}

TEST(GgufModel, TheFilesNameOfItsMixIsTheFormat) {
  GgufWriter file = Written({.hidden = 256, .ffn = 256, .head_dim = 64, .matrices = "Q4_K"});
  file.Number("general.file_type", 15);
  const ModelConfig model = Accepted(file);
  EXPECT_EQ(model.headers->stored_as, "Q4_K_M");
  EXPECT_EQ(model.dtype, ElementType::kFp16);
  EXPECT_EQ(Accepted(Written({.matrices = "BF16", .output = "BF16"})).dtype, ElementType::kBf16);
  EXPECT_EQ(Accepted(Written({.matrices = "Q8_0"})).headers->width, ElementType::kInt8);
}

// Layers of one type are one family, so that a split over stages gives each its own bytes.
TEST(GgufModel, LayersOfDifferentTypesAreKeptApart) {
  GgufWriter file = Bare("llama", 3, 64);
  file.Number("llama.attention.head_count", 4);
  for (int i = 0; i < 3; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    file.Tensor(block + "attn_k.weight", "F16", {64, 64});
    file.Tensor(block + "ffn_down.weight", i == 1 ? "Q8_0" : "Q4_0", {64, 96});
  }
  const ModelConfig model = Accepted(file);
  std::vector<int32_t> narrow, wide;
  for (const TensorSpec& tensor : model.tensors) {
    if (tensor.name != "blk.{layer}.ffn_down.weight") continue;
    (tensor.layers.size() == 2 ? narrow : wide) = tensor.layers;
    EXPECT_EQ(tensor.stored_bytes,
              tensor.layers.size() == 2 ? Bytes(2 * 64 * 3 * 18) : Bytes(64 * 3 * 34));
  }
  EXPECT_THAT(narrow, ElementsAre(0, 2));
  EXPECT_THAT(wide, ElementsAre(1));
}

// Every layer knows its number and every matrix how it divides, so that shares can be planned.
TEST(GgufModel, TensorsAndLayersTellHowTheyDivideOverGpus) {
  const ModelConfig model = Accepted(Written({}));
  EXPECT_EQ(model.attention[1].layer, 1);
  EXPECT_EQ(model.tensors.front().name, "token_embd.weight");
  for (const TensorSpec& tensor : model.tensors) {
    SCOPED_TRACE(tensor.name);
    EXPECT_EQ(tensor.after_layers, tensor.name.starts_with("output"));
    EXPECT_EQ(tensor.split.empty(), tensor.role == TensorRole::kNorm);
    if (tensor.split.empty()) continue;
    EXPECT_EQ(tensor.split[0].size(), tensor.shape[tensor.split_axis]);
    const bool across =
        tensor.name.ends_with("attn_output.weight") || tensor.name.ends_with("ffn_down.weight");
    EXPECT_EQ(tensor.split_axis, across ? 1u : 0u);
    if (tensor.name == "blk.{layer}.attn_k.weight") {
      EXPECT_EQ(tensor.split[0].unit, SplitUnit::kKvHead);
      EXPECT_EQ(tensor.split[0].count, 2);
    }
  }
}

TEST(GgufModel, AFusedMatrixDividesByHeadsOfQAndOfKAndV) {
  GgufWriter file = Bare("falcon", 1, 64);
  file.Number("falcon.attention.head_count", 4);
  file.Number("falcon.attention.head_count_kv", 1);
  file.Tensor("blk.0.attn_qkv.weight", "F16", {96, 64});
  for (const TensorSpec& tensor : Accepted(file).tensors) {
    if (tensor.name != "blk.{layer}.attn_qkv.weight") continue;
    ASSERT_EQ(tensor.split.size(), 3u);
    EXPECT_EQ(ElementsOfOne(tensor.split, 2), 32 + 16 + 16);  // K and V are on both
  }
}

TEST(GgufModel, ExpertsAreCountedAndThoseInUse) {
  GgufWriter file = Written({.blocks = 1});
  file.Number("llama.expert_count", 8);
  file.Number("llama.expert_used_count", 2);
  file.Tensor("blk.0.ffn_gate_inp.weight", "F32", {8, 64});
  file.Tensor("blk.0.ffn_down_exps.weight", "Q4_0", {8, 64, 128});
  const ModelConfig model = Accepted(file);
  EXPECT_EQ(model.Parameters() - model.ActiveParameters(), 6 * 64 * 128);
  EXPECT_EQ(model.widest_ffn, 96 + 2 * 128);
}

TEST(GgufModel, ANumberByItselfIsAVectorOfOne) {
  GgufWriter file = Written({.blocks = 1});
  file.Tensor("blk.0.some_norm.weight", "F32", {});
  const ModelConfig model = Accepted(file);
  const auto plan =
      PlanTraining(model, {.method = TrainingMethod::kMixed, .batch = 1, .sequence = Tokens(16)});
  EXPECT_TRUE(plan.ok()) << plan.status();
}

TEST(GgufModel, OneVectorOfEachExpertIsNoMatrix) {
  GgufWriter file = Written({.blocks = 1});
  file.Number("llama.expert_count", 8);
  file.Number("llama.expert_used_count", 2);
  file.Tensor("blk.0.ffn_scale_exps.weight", "F32", {8, 64});
  const ModelConfig model = Accepted(file);
  EXPECT_EQ(model.Parameters() - model.ActiveParameters(), 6 * 64);
  const auto plan = PlanInference(model, {.device_bytes = Bytes(int64_t{1} << 34),
                                          .weights = WeightFormat(ElementType::kInt4)});
  EXPECT_TRUE(plan.ok()) << plan.status();
}

TEST(GgufModel, WindowsFollowTheArchitecturesRule) {
  const auto sliding = [](const std::string& architecture, int64_t blocks) {
    GgufWriter file = Written({.architecture = architecture, .blocks = blocks});
    file.Number(architecture + ".attention.sliding_window", 32);
    std::string kinds;
    for (const AttentionSpec& layer : Accepted(file).attention) kinds += layer.window ? 'w' : '-';
    return kinds;
  };
  EXPECT_EQ(sliding("gemma2", 4), "w-w-");
  EXPECT_EQ(sliding("gemma3", 7), "wwwww-w");
  EXPECT_EQ(sliding("cohere2", 5), "www-w");
  EXPECT_EQ(sliding("gpt-oss", 3), "w-w");
  EXPECT_EQ(sliding("phi3", 3), "www");
}

TEST(GgufModel, AFilesOwnListOfWindowsComesFirst) {
  GgufWriter file = Written({.architecture = "gemma3", .blocks = 3});
  file.Number("gemma3.attention.sliding_window", 32);
  file.Numbers("gemma3.attention.sliding_window_pattern", {0, 1, 0});
  const ModelConfig model = Accepted(file);
  EXPECT_EQ(model.attention[0].window, std::nullopt);
  EXPECT_EQ(model.attention[1].window, Tokens(32));
}

TEST(GgufModel, AWindowInAnArchitectureWithoutOneIsRefusedUnlessItIsNone) {
  GgufWriter narrow = Written({}), wide = Written({});
  narrow.Number("llama.attention.sliding_window", 32);
  wide.Number("llama.attention.sliding_window", 256);
  EXPECT_THAT(Refusal(narrow), HasSubstr("llama.attention.sliding_window=32: want 0"));
  EXPECT_EQ(Refusal(wide), "accepted");
}

TEST(GgufModel, HeadsMayDifferByLayer) {
  GgufWriter file = Bare("llama", 2, 64);
  file.Numbers("llama.attention.head_count", {4, 4});
  file.Numbers("llama.attention.head_count_kv", {4, 1});
  file.Tensor("blk.0.attn_k.weight", "F16", {64, 64});
  file.Tensor("blk.1.attn_k.weight", "F16", {16, 64});
  const ModelConfig model = Accepted(file);
  EXPECT_EQ(model.attention[0].kv_heads, 4);
  EXPECT_EQ(model.attention[1].kv_heads, 1);
}

GgufWriter Latent(bool absorbed) {
  GgufWriter file = Bare("deepseek2", 1, 64);
  const auto number = [&](const char* key, uint32_t value) {
    file.Number(std::string("deepseek2.") + key, value);
  };
  number("attention.head_count", 4);
  number("attention.head_count_kv", absorbed ? 1 : 4);
  number("attention.kv_lora_rank", 32);
  number("rope.dimension_count", 8);
  number("attention.key_length", absorbed ? 40 : 24);
  number("attention.value_length", absorbed ? 32 : 16);
  if (absorbed) {
    number("attention.key_length_mla", 24);
    number("attention.value_length_mla", 16);
  }
  file.Tensor("blk.0.attn_kv_a_mqa.weight", "F16", {40, 64});
  return file;
}

TEST(GgufModel, LatentAttentionKeepsOneVectorInFilesOfBothKinds) {
  for (const bool absorbed : {false, true}) {
    const ModelConfig model = Accepted(Latent(absorbed));
    EXPECT_EQ(model.attention[0].latent_dim, 40);
    EXPECT_EQ(model.attention[0].head_dim, 24);
    EXPECT_EQ(model.attention[0].value_dim, 16);
  }
}

TEST(GgufModel, RecurrentLayersKeepTheirState) {
  GgufWriter file = Bare("mamba", 2, 64);
  file.Number("mamba.ssm.inner_size", 128);
  file.Number("mamba.ssm.state_size", 16);
  file.Number("mamba.ssm.conv_kernel", 4);
  for (const char* const block : {"blk.0.", "blk.1."}) {
    file.Tensor(std::string(block) + "ssm_in.weight", "F16", {256, 64});
    file.Tensor(std::string(block) + "ssm_conv1d.weight", "F32", {128, 4});
  }
  const ModelConfig model = Accepted(file);
  ASSERT_EQ(model.recurrent.size(), 2u);
  EXPECT_EQ(model.recurrent[0].conv_elements, 3 * 128);
  EXPECT_EQ(model.recurrent[0].state_elements, 128 * 16);
  EXPECT_TRUE(model.attention.empty());
}

TEST(GgufModel, APredictionBlockIsLeftOutAndNamed) {
  GgufWriter file = Written({.blocks = 3});
  file.Number("llama.nextn_predict_layers", 1);
  const ModelConfig model = Accepted(file);
  EXPECT_EQ(model.layers, 2);
  EXPECT_EQ(model.Parameters(), Accepted(Written({})).Parameters());
  ASSERT_EQ(model.left_out.size(), 1u);
  EXPECT_EQ(model.left_out[0].part, "prediction block");
  EXPECT_EQ(model.headers->all.elements - model.headers->loaded.elements,
            model.left_out[0].elements);
  EXPECT_TRUE(model.headers->agrees());
}

TEST(GgufModel, AnUnknownArchitectureIsRefusedByName) {
  EXPECT_EQ(Refusal(Written({.architecture = "rwkv9"})), "unknown architecture rwkv9");
  EXPECT_EQ(Refusal(GgufWriter()), "unknown architecture that is not named");
}

TEST(GgufModel, EveryKeyThatIsMissingOrOutOfRangeIsRefusedByName) {
  for (const char* const key : {"block_count", "embedding_length", "context_length"}) {
    const std::string whole = std::string("llama.") + key;
    GgufWriter without, zero, text;
    for (GgufWriter* const file : {&without, &zero, &text}) {
      file->Text("general.architecture", "llama");
      for (const char* const other : {"block_count", "embedding_length", "context_length"}) {
        if (std::string(other) != key) file->Number(std::string("llama.") + other, 64);
      }
    }
    zero.Number(whole, 0);
    text.Text(whole, "many");
    EXPECT_EQ(Refusal(without), whole + ": missing");
    EXPECT_THAT(Refusal(zero), HasSubstr(whole + "=0: want a whole number from 1"));
    EXPECT_THAT(Refusal(text), HasSubstr(whole + "=\"many\": want a whole number"));
  }
}

TEST(GgufModel, TensorsThatContradictTheMetadataAreRefused) {
  EXPECT_THAT(Refusal(Written({.heads = 4, .kv_heads = 3})),
              HasSubstr("llama.attention.head_count=4: want a multiple of head_count_kv"));
  GgufWriter keys = Bare("llama", 1, 64);
  keys.Number("llama.attention.head_count", 4);
  keys.Number("llama.attention.head_count_kv", 2);
  GgufWriter nothing = keys, block = keys, fused = keys;
  keys.Tensor("blk.0.attn_k.weight", "F16", {64, 64});
  EXPECT_EQ(Refusal(keys),
            "tensor blk.0.attn_k.weight: rows=64: want 32, head_count_kv x key_length");
  EXPECT_THAT(Refusal(nothing), HasSubstr("tensor blk.0.attn_k.weight: missing"));
  block.Tensor("blk.1.attn_k.weight", "F16", {32, 64});
  EXPECT_THAT(Refusal(block), HasSubstr("tensor blk.1.attn_k.weight: want a block below 1"));
  fused.Tensor("blk.0.attn_qkv.weight", "F16", {192, 64});
  EXPECT_THAT(Refusal(fused), HasSubstr("rows=192: want 128"));
  GgufWriter narrow = Written({});
  narrow.Number("llama.attention.key_length", 8);
  EXPECT_THAT(Refusal(narrow), HasSubstr("tensor blk.0.attn_k.weight: rows=32: want 16"));
}

TEST(GgufModel, AListOfAnotherLengthThanTheBlocksIsRefused) {
  GgufWriter file = Bare("llama", 2, 64);
  file.Numbers("llama.attention.head_count", {4, 4, 4});
  EXPECT_EQ(Refusal(file),
            "llama.attention.head_count=a list of 3: want a whole number for each of 2 blocks");
}

}  // namespace
}  // namespace plimsoll
