// Jamba: Mamba layers with attention every attn_layer_period-th, experts every
// expert_layer_period-th.
#include <algorithm>

#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"
#include "kvcache/model/mamba_parts.h"

namespace plimsoll {
namespace {

// Layers `offset`, `offset` + `period`, ...
LayerList Every(ConfigFields& fields, const std::string& prefix, int64_t period, int64_t offset,
                const ModelConfig& model) {
  const int64_t step = fields.Count(prefix + "_period", kMaxLayers, period);
  const int64_t first = fields.Index(prefix + "_offset", kMaxLayers, offset);
  if (first >= step) fields.Refuse(prefix + "_offset", "less than " + prefix + "_period");
  return LayersWhere(model, [&](int32_t layer) { return layer % step == first; });
}

Mamba1 ReadJambaMamba(ConfigFields& fields, int64_t hidden) {
  const bool derived = !fields.Has("mamba_dt_rank") || fields.IsText("mamba_dt_rank");
  return {.inner = fields.Count("mamba_expand", kMaxExpand, 2) * hidden,
          .state = fields.Count("mamba_d_state", kMaxHeads, 16),
          .kernel = fields.Count("mamba_d_conv", kMaxKernel, 4),
          .rank = derived ? CeilDivide(hidden, 16) : fields.Count("mamba_dt_rank", kMaxWidth),
          .conv_bias = fields.Flag("mamba_conv_bias", true),
          .bias = fields.Flag("mamba_proj_bias", false),
          .step_norms = true};
}

}  // namespace

void ReadJamba(ConfigFields& fields, ModelConfig& model) {
  const DecoderDefaults defaults{.kv_heads = 8, .context = 262144};
  ReadWidths(fields, defaults, model);
  const int64_t hidden = model.hidden_size;
  const int64_t width = model.intermediate_size = fields.Count("intermediate_size", kMaxWidth);
  const AttentionSpec heads = ReadHeads(fields, defaults, hidden);
  const Mamba1 mamba = ReadJambaMamba(fields, hidden);
  const LayerList attention = Every(fields, "attn_layer", 8, 4, model);
  const LayerList recurrent = OtherLayers(model, attention);
  const int64_t experts = fields.Count("num_experts", kMaxExperts, 16);
  const int64_t active =
      fields.Count("num_experts_per_tok", experts, std::min<int64_t>(experts, 2));
  LayerList sparse = Every(fields, "expert_layer", 2, 1, model);
  if (experts == 1) sparse.clear();
  AttendIn(model, attention, heads);
  KeepStateIn(model, recurrent, StateOf(mamba));
  AddEnds(model, {.norm = "model.final_layernorm"});
  TensorList attending(model, "model.layers.{layer}.", attention);
  AddAttentionOf(attending, hidden, heads, {});
  TensorList scanning(model, "model.layers.{layer}.", recurrent);
  AddMamba1(model, scanning, "mamba.", mamba);
  TensorList dense(model, "model.layers.{layer}.", OtherLayers(model, sparse));
  dense.GatedMlp("feed_forward", width);
  TensorList routed(model, "model.layers.{layer}.feed_forward.", sparse);
  routed.Add("router.weight", TensorRole::kRouter, {experts, hidden});
  const Extent inner = ByInner(width);
  routed.Expert("experts.{expert}.gate_proj.weight", {inner, hidden}, experts, active);
  routed.Expert("experts.{expert}.up_proj.weight", {inner, hidden}, experts, active);
  routed.Expert("experts.{expert}.down_proj.weight", {hidden, inner}, experts, active);
  if (!sparse.empty()) model.widest_ffn = std::max(model.widest_ffn, active * width);
  AddLayerNorms(model, {"input_layernorm", "pre_ff_layernorm"});
}

}  // namespace plimsoll
