// The Llama Nemotrons found by architecture search: every block says by itself how many heads share
// K and V and how wide its MLP is, or leaves one of them out.
#include <algorithm>

#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {
namespace {

constexpr int64_t kMlpStep = 256;  // MLP widths are rounded up to it

// Neither a linear layer in its place nor any other surgery is known here.
bool IsThere(ConfigFields& part) {
  if (part.Flag("replace_with_linear", false)) part.Refuse("replace_with_linear", "false");
  if (part.Has("sparsify")) part.Refuse("sparsify", "null");
  return !part.Flag("no_op", false);
}

void AddBlockAttention(ConfigFields& block, const AttentionSpec& all, int32_t index,
                       TensorList& layer, ModelConfig& model) {
  const nlohmann::json* const object = block.Object("attention");
  if (object == nullptr) return block.Refuse("attention", "an object");
  ConfigFields part(*object, "block_configs.attention.");
  if (IsThere(part)) {
    AttentionSpec heads = all;
    const int64_t group = part.Count("n_heads_in_group", heads.heads);
    if (heads.heads % group != 0) part.Refuse("n_heads_in_group", "a divisor of the heads");
    heads.kv_heads = std::max<int64_t>(heads.heads / group, 1);
    if (part.Has("window_length")) part.Refuse("window_length", "null");
    if (part.Has("num_sink_tokens")) part.Refuse("num_sink_tokens", "null");
    layer.Norm("input_layernorm", model.hidden_size);
    AddAttentionOf(layer, model.hidden_size, heads, {});
    AttendIn(model, {index}, heads);
  }
  block.Fail(part.status());
}

void AddBlockMlp(ConfigFields& block, TensorList& layer, ModelConfig& model) {
  const nlohmann::json* const object = block.Object("ffn");
  if (object == nullptr) return block.Refuse("ffn", "an object");
  ConfigFields part(*object, "block_configs.ffn.");
  if (IsThere(part)) {
    const double times = part.Positive("ffn_mult", 1);
    if (!part.Has("ffn_mult") || times > 64) part.Refuse("ffn_mult", "a number above 0, up to 64");
    const double exact = 2 * std::min(times, 64.0) * static_cast<double>(model.hidden_size) / 3;
    const int64_t width = CeilDivide(static_cast<int64_t>(exact), kMlpStep) * kMlpStep;
    layer.Norm("post_attention_layernorm", model.hidden_size);
    layer.GatedMlp("mlp", width);
  }
  block.Fail(part.status());
}

}  // namespace

void ReadDeciLm(ConfigFields& fields, ModelConfig& model) {
  ReadWidths(fields, {}, model);
  const AttentionSpec heads = ReadHeads(fields, {}, model.hidden_size);
  if (fields.Flag("attention_bias", false)) fields.Refuse("attention_bias", "false");
  if (fields.Flag("mlp_bias", false)) fields.Refuse("mlp_bias", "false");
  AddEnds(model, {});
  std::vector<ConfigFields> blocks = fields.Objects("block_configs");
  if (std::ssize(blocks) != model.layers) {
    return fields.Refuse("block_configs", "one object for each of num_hidden_layers=" +
                                              std::to_string(model.layers));
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto index = static_cast<int32_t>(i);
    TensorList layer(model, "model.layers.{layer}.", {index});
    AddBlockAttention(blocks[i], heads, index, layer, model);
    AddBlockMlp(blocks[i], layer, model);
    fields.Fail(blocks[i].status());
  }
}

}  // namespace plimsoll
