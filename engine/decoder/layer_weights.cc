#include "engine/decoder/layer_weights.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

// Architectures whose layers are LLaMA's; biases, head norms and windows come with the tensors and
// the configuration.
constexpr std::array<std::string_view, 4> kDecodable = {"LlamaForCausalLM", "MistralForCausalLM",
                                                        "Qwen2ForCausalLM", "Qwen3ForCausalLM"};

LayerWeights LayerOf(const Weights& weights, int64_t layer) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  const auto find = [&](const char* name) { return weights.Find(prefix + name); };
  const auto projection = [&](const std::string& name) {
    return Projection{weights.Find(prefix + name + ".weight"),
                      weights.Find(prefix + name + ".bias")};
  };
  return {.attention_norm = find("input_layernorm.weight"),
          .mlp_norm = find("post_attention_layernorm.weight"),
          .q_norm = find("self_attn.q_norm.weight"),
          .k_norm = find("self_attn.k_norm.weight"),
          .q = projection("self_attn.q_proj"),
          .k = projection("self_attn.k_proj"),
          .v = projection("self_attn.v_proj"),
          .o = projection("self_attn.o_proj"),
          .gate = projection("mlp.gate_proj"),
          .up = projection("mlp.up_proj"),
          .down = projection("mlp.down_proj")};
}

}  // namespace

absl::Status CheckDecodable(const ModelConfig& model) {
  if (std::count(kDecodable.begin(), kDecodable.end(), model.architecture) == 0) {
    return absl::UnimplementedError("no decoder for " + model.architecture +
                                    "; plan and serve --device none work with it");
  }
  if (model.quantization) {
    return absl::UnimplementedError("no decoder for " + *model.quantization +
                                    " weights; want fp32, fp16 or bf16");
  }
  return absl::OkStatus();
}

absl::StatusOr<DecoderWeights> DecoderWeightsOf(const ModelConfig& model, const Weights& weights) {
  PLIMSOLL_RETURN_IF_ERROR(CheckDecodable(model));
  DecoderWeights found{.embedding = weights.Find("model.embed_tokens.weight"),
                       .final_norm = weights.Find("model.norm.weight"),
                       .head = weights.Find("lm_head.weight"),
                       .layers = {}};
  if (model.tied_embeddings) found.head = found.embedding;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    found.layers.push_back(LayerOf(weights, layer));
  }
  return found;
}

}  // namespace plimsoll
