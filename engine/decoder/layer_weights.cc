#include "engine/decoder/layer_weights.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "engine/ops/float16.h"
#include "engine/ops/sampling_rule.h"
#include "engine/ops/weight_element.h"
#include "engine/weights/packed_source.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

// Architectures whose layers are LLaMA's but for what the tensors and the configuration tell:
// biases, norms, windows, scales, caps, experts.
constexpr std::array<std::string_view, 10> kDecodable = {
    "LlamaForCausalLM",    "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
    "GemmaForCausalLM",    "Gemma2ForCausalLM",  "Phi3ForCausalLM",  "MixtralForCausalLM",
    "Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM"};

// The tensors of one layer, by what follows its prefix.
class LayerReader {
 public:
  LayerReader(const Weights& weights, int64_t layer)
      : weights_(weights), prefix_("model.layers." + std::to_string(layer) + ".") {}

  WeightView Find(const std::string& name) const { return weights_.Find(prefix_ + name); }
  bool Has(const std::string& name) const { return Find(name).data != nullptr; }
  Projection Matrix(const std::string& name) const {
    return {Find(name + ".weight"), Find(name + ".bias")};
  }

 private:
  const Weights& weights_;
  const std::string prefix_;
};

// Where there is a norm before the feed-forward part and one behind each part, the second norm in
// the file is the one behind attention.
void FindNorms(const LayerReader& reader, LayerWeights& layer) {
  const bool behind = reader.Has("pre_feedforward_layernorm.weight");
  const WeightView second = reader.Find("post_attention_layernorm.weight");
  layer.attention_norm = reader.Find("input_layernorm.weight");
  layer.mlp_norm = behind ? reader.Find("pre_feedforward_layernorm.weight") : second;
  if (behind) layer.attention_out_norm = second;
  layer.mlp_out_norm = reader.Find("post_feedforward_layernorm.weight");
  layer.q_norm = reader.Find("self_attn.q_norm.weight");
  layer.k_norm = reader.Find("self_attn.k_norm.weight");
}

void FindAttention(const LayerReader& reader, const AttentionSpec& spec, LayerWeights& layer) {
  layer.q = reader.Matrix("self_attn.q_proj");
  layer.k = reader.Matrix("self_attn.k_proj");
  layer.v = reader.Matrix("self_attn.v_proj");
  layer.o = reader.Matrix("self_attn.o_proj");
  const WeightView fused = reader.Find("self_attn.qkv_proj.weight");
  if (fused.data == nullptr) return;
  const int64_t q = spec.heads * spec.head_dim;
  const int64_t kv = spec.kv_heads * spec.head_dim;
  layer.q.weight = RowsOf(fused, 0, q);
  layer.k.weight = RowsOf(fused, q, kv);
  layer.v.weight = RowsOf(fused, q + kv, kv);
}

void FindMlp(const LayerReader& reader, LayerWeights& layer) {
  layer.gate = reader.Matrix("mlp.gate_proj");
  layer.up = reader.Matrix("mlp.up_proj");
  layer.down = reader.Matrix("mlp.down_proj");
  const WeightView fused = reader.Find("mlp.gate_up_proj.weight");
  if (fused.data == nullptr) return;
  layer.gate.weight = RowsOf(fused, 0, fused.rows / 2);
  layer.up.weight = RowsOf(fused, fused.rows / 2, fused.rows / 2);
}

// Mixtral has names of its own, and the Qwens those of their MLPs.
void FindExperts(const LayerReader& reader, LayerWeights& layer) {
  const bool mixtral = reader.Has("block_sparse_moe.gate.weight");
  const std::string prefix = mixtral ? "block_sparse_moe." : "mlp.";
  layer.router = reader.Matrix(prefix + "gate");
  if (layer.router.weight.data == nullptr) return;
  const auto expert = [&](const std::string& name) {
    return ExpertWeights{reader.Find(name + (mixtral ? ".w1.weight" : ".gate_proj.weight")),
                         reader.Find(name + (mixtral ? ".w3.weight" : ".up_proj.weight")),
                         reader.Find(name + (mixtral ? ".w2.weight" : ".down_proj.weight"))};
  };
  for (int64_t e = 0; e < layer.router.weight.rows; ++e) {
    layer.experts.push_back(expert(prefix + "experts." + std::to_string(e)));
  }
  layer.shared_router = reader.Matrix("mlp.shared_expert_gate");
  if (layer.shared_router.weight.data == nullptr) return;
  layer.experts.push_back(expert("mlp.shared_expert"));
}

LayerWeights LayerOf(const ModelConfig& model, const Weights& weights, int64_t index) {
  const LayerReader reader(weights, index);
  LayerWeights layer;
  FindNorms(reader, layer);
  FindAttention(reader, model.attention[static_cast<size_t>(index)], layer);
  FindMlp(reader, layer);
  FindExperts(reader, layer);
  return layer;
}

// `value` as a tensor of `type` would hold it.
float RoundedTo(ElementType type, double value) {
  std::array<std::byte, sizeof(float)> stored;
  WriteElement(stored.data(), type, 0, static_cast<float>(value));
  return ReadElement(stored.data(), type, 0);
}

}  // namespace

absl::Status CheckDecodable(const ModelConfig& model) {
  if (std::count(kDecodable.begin(), kDecodable.end(), model.architecture) == 0) {
    return absl::UnimplementedError("no decoder for " + model.architecture +
                                    "; plan and serve --device none work with it");
  }
  if (model.vocab_size > kVocabMost) {
    return absl::UnimplementedError("no decoder for a vocabulary of " +
                                    std::to_string(model.vocab_size) + "; want at most " +
                                    std::to_string(kVocabMost));
  }
  return CheckStorage(model);
}

absl::Status CheckOps(const Ops& ops, const ModelConfig& model) {
  const bool lacks_experts = model.mixture && (ops.route == nullptr || ops.experts == nullptr);
  const bool lacks_cap = model.final_softcap && ops.softcap == nullptr;
  const bool lacks_type = ops.device == Device::kCuda && model.dtype != ElementType::kFp16 &&
                          model.dtype != ElementType::kBf16;
  if (!lacks_experts && !lacks_cap && !lacks_type) return absl::OkStatus();
  const std::string what = lacks_experts ? "experts"
                           : lacks_cap   ? "capped logits"
                                         : std::string(NameOf(model.dtype)) + " weights";
  return absl::UnimplementedError("no " + what + " on " + std::string(ops.name) + ", which " +
                                  model.architecture + " needs");
}

WeightView RowsOf(const WeightView& matrix, int64_t first, int64_t count) {
  if (matrix.data == nullptr) return {};
  PLIMSOLL_CHECK(first >= 0 && first + count <= matrix.rows, first, count, matrix.rows);
  WeightView rows = matrix;
  rows.rows = first;  // those that are passed over
  rows.data += first * RowBytesOf(matrix);
  if (matrix.scales != nullptr) rows.scales += ScaleBytesOf(rows);
  rows.rows = count;
  return rows;
}

absl::StatusOr<DecoderWeights> DecoderWeightsOf(const ModelConfig& model, const Weights& weights) {
  PLIMSOLL_RETURN_IF_ERROR(CheckDecodable(model));
  DecoderWeights found{.embedding = weights.Find("model.embed_tokens.weight"),
                       .embedding_scale = RoundedTo(model.dtype, model.embedding_scale),
                       .final_norm = weights.Find("model.norm.weight"),
                       .head = weights.Find("lm_head.weight"),
                       .layers = {}};
  if (model.tied_embeddings) found.head = found.embedding;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    found.layers.push_back(LayerOf(model, weights, layer));
  }
  return found;
}

}  // namespace plimsoll
