// Which layers forget: every family has its own way of saying it.
#include <gtest/gtest.h>

#include <string>

#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/config_texts.h"

namespace plimsoll {
namespace {

using nlohmann::json;

// One letter a layer: 's' for a window, 'f' for all tokens.
std::string Layers(const std::string& architecture, const json& changes) {
  json config = Changed(SmallConfig(architecture), {{"num_hidden_layers", 6}});
  config = Changed(config, changes);
  const absl::StatusOr<ModelConfig> model = Parsed(config);
  if (!model.ok()) return std::string(model.status().message());
  std::string letters;
  for (const AttentionSpec& layer : model->attention) letters += layer.window ? 's' : 'f';
  return letters;
}

TEST(Windows, LlamaHasNone) {
  EXPECT_EQ(Layers("LlamaForCausalLM", {{"sliding_window", 32}}), "ffffff");
}

TEST(Windows, MistralsIsInEveryLayerUnlessNull) {
  EXPECT_EQ(Layers("MistralForCausalLM", {{"sliding_window", 32}}), "ssssss");
  EXPECT_EQ(Layers("MistralForCausalLM", {{"sliding_window", nullptr}}), "ffffff");
  const json long_context = {{"max_position_embeddings", 32768}};
  EXPECT_EQ(Layers("MistralForCausalLM", long_context), "ssssss") << "absent means 4096";
}

TEST(Windows, AWindowNoSmallerThanTheContextIsNone) {
  EXPECT_EQ(Layers("MistralForCausalLM", {{"sliding_window", 255}}), "ssssss");
  EXPECT_EQ(Layers("MistralForCausalLM", {{"sliding_window", 256}}), "ffffff");
  EXPECT_EQ(Layers("Phi3ForCausalLM", {{"sliding_window", 262144}}), "ffffff");
}

TEST(Windows, QwensCountsOnlyWhenUsedAndFromItsFirstLayer) {
  const json window = {{"sliding_window", 32}, {"max_window_layers", 4}};
  EXPECT_EQ(Layers("Qwen2ForCausalLM", window), "ffffff");
  EXPECT_EQ(Layers("Qwen2ForCausalLM", Changed(window, {{"use_sliding_window", false}})), "ffffff");
  EXPECT_EQ(Layers("Qwen2ForCausalLM", Changed(window, {{"use_sliding_window", true}})), "ffffss");
}

TEST(Windows, GemmasAlternate) {
  EXPECT_EQ(Layers("GemmaForCausalLM", {{"sliding_window", 32}}), "ffffff");
  EXPECT_EQ(Layers("Gemma2ForCausalLM", {{"sliding_window", 32}}), "sfsfsf");
  EXPECT_EQ(Layers("Gemma3ForCausalLM", {{"sliding_window", 32}}), "sssssf");
  EXPECT_EQ(Layers("Gemma3ForCausalLM", {{"sliding_window", 32}, {"sliding_window_pattern", 3}}),
            "ssfssf");
}

TEST(Windows, LayerTypesDecideWhereTheyAreGiven) {
  const json types = {"full_attention",    "sliding_attention", "full_attention",
                      "sliding_attention", "full_attention",    "full_attention"};
  for (const std::string architecture :
       {"MistralForCausalLM", "Gemma2ForCausalLM", "Phi3ForCausalLM"}) {
    EXPECT_EQ(Layers(architecture, {{"sliding_window", 32}, {"layer_types", types}}), "fsfsff")
        << architecture;
  }
  const json used = {{"sliding_window", 32}, {"layer_types", types}, {"use_sliding_window", true}};
  EXPECT_EQ(Layers("Qwen3ForCausalLM", used), "fsfsff");
}

}  // namespace
}  // namespace plimsoll
