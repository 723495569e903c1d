#include "kvcache/model/mamba_parts.h"

#include <algorithm>
#include <string>

#include "kvcache/model/decoder_parts.h"

namespace plimsoll {
namespace {

void AddConvolution(TensorList& list, const std::string& name, const Extent& channels,
                    int64_t kernel, bool bias) {
  list.Add(name + ".weight", TensorRole::kSmall, {channels, 1, kernel});
  if (bias) list.Add(name + ".bias", TensorRole::kSmall, {channels});
}

// What goes through the convolution: x, B and C; q, k and v.
Extent Convolved(const Mamba2& mamba) {
  const Extent group = ByKvHead(mamba.groups, mamba.state);
  return ByHead(mamba.heads, mamba.head_dim) + group + group;
}
Extent Convolved(const DeltaNet& net) {
  const Extent keys = ByHead(net.key_heads, net.key_dim);
  return keys + keys + ByHead(net.value_heads, net.value_dim);
}

RecurrentSpec SpecOf(const Extent& conv, const Extent& state) {
  return {.conv_elements = conv.size(),
          .state_elements = state.size(),
          .conv_split = conv.parts(),
          .state_split = state.parts()};
}

// mamba_d_head may be "auto": the expanded width divided by the heads.
int64_t ReadHeadDim(ConfigFields& fields, int64_t expanded, int64_t heads) {
  const bool derived = !fields.Has("mamba_d_head") || fields.IsText("mamba_d_head");
  if (!derived) return fields.Count("mamba_d_head", kMaxHeads);
  if (fields.Has("mamba_d_head") && fields.Text("mamba_d_head") != "auto") {
    fields.Refuse("mamba_d_head", "a whole number or auto");
  }
  if (expanded % heads != 0) {
    fields.Refuse("mamba_n_heads", "a divisor of the expanded width " + std::to_string(expanded));
  }
  return std::max<int64_t>(expanded / heads, 1);
}

}  // namespace

void AddMamba1(ModelConfig& model, TensorList& list, std::string_view prefix, const Mamba1& mamba) {
  const std::string own(prefix);
  const Extent inner = ByInner(mamba.inner);
  list.Matrix(own + "in_proj", inner + inner, model.hidden_size, mamba.bias);
  AddConvolution(list, own + "conv1d", inner, mamba.kernel, mamba.conv_bias);
  list.Matrix(own + "x_proj", mamba.rank + 2 * mamba.state, inner);
  list.Matrix(own + "dt_proj", inner, mamba.rank, /*bias=*/true);
  list.Add(own + "A_log", TensorRole::kSmall, {inner, mamba.state});
  list.Add(own + "D", TensorRole::kSmall, {inner});
  list.Matrix(own + "out_proj", model.hidden_size, inner, mamba.bias);
  model.widest_ffn = std::max(model.widest_ffn, mamba.inner);
  if (!mamba.step_norms) return;
  list.Norm(own + "dt_layernorm", mamba.rank);
  list.Norm(own + "b_layernorm", mamba.state);
  list.Norm(own + "c_layernorm", mamba.state);
}

RecurrentSpec StateOf(const Mamba1& mamba) {
  return SpecOf(ByInner(mamba.inner) * (mamba.kernel - 1), ByInner(mamba.inner) * mamba.state);
}

void AddMamba2(ModelConfig& model, TensorList& list, std::string_view prefix, const Mamba2& mamba) {
  const std::string own(prefix);
  const Extent heads = ByHead(mamba.heads, 1);
  const Extent inner = heads * mamba.head_dim;
  const Extent convolved = Convolved(mamba);
  list.Matrix(own + "in_proj", inner + convolved + heads, model.hidden_size, mamba.bias);
  AddConvolution(list, own + "conv1d", convolved, mamba.kernel, mamba.conv_bias);
  for (const char* const name : {"dt_bias", "A_log", "D"}) {
    list.Add(own + name, TensorRole::kSmall, {heads});
  }
  list.Norm(own + "norm", inner);
  list.Matrix(own + "out_proj", model.hidden_size, inner, mamba.bias);
  model.widest_ffn = std::max(model.widest_ffn, mamba.inner());
}

RecurrentSpec StateOf(const Mamba2& mamba) {
  return SpecOf(Convolved(mamba) * (mamba.kernel - 1),
                ByHead(mamba.heads, mamba.head_dim) * mamba.state);
}

Mamba2 ReadMamba2(ConfigFields& fields, int64_t hidden) {
  const int64_t heads = fields.Count("mamba_n_heads", kMaxHeads, 128);
  const int64_t expanded = fields.Count("mamba_expand", kMaxExpand, 2) * hidden;
  const Mamba2 mamba{.heads = heads,
                     .head_dim = ReadHeadDim(fields, expanded, heads),
                     .groups = fields.Count("mamba_n_groups", kMaxHeads, 1),
                     .state = fields.Count("mamba_d_state", kMaxHeads, 256),
                     .kernel = fields.Count("mamba_d_conv", kMaxKernel, 4),
                     .conv_bias = fields.Flag("mamba_conv_bias", true),
                     .bias = fields.Flag("mamba_proj_bias", false)};
  if (mamba.inner() != expanded) {
    fields.Refuse("mamba_d_head", "mamba_expand x hidden_size / mamba_n_heads");
  }
  return mamba;
}

void AddDeltaNet(ModelConfig& model, TensorList& list, const DeltaNet& net) {
  const int64_t hidden = model.hidden_size;
  const Extent heads = ByHead(net.value_heads, 1);
  const Extent values = heads * net.value_dim;
  const Extent qkv = Convolved(net);
  if (net.fused) {
    list.Matrix("linear_attn.in_proj_qkvz", qkv + values, hidden);
    list.Matrix("linear_attn.in_proj_ba", heads + heads, hidden);
  } else {
    list.Matrix("linear_attn.in_proj_qkv", qkv, hidden);
    list.Matrix("linear_attn.in_proj_z", values, hidden);
    list.Matrix("linear_attn.in_proj_b", heads, hidden);
    list.Matrix("linear_attn.in_proj_a", heads, hidden);
  }
  AddConvolution(list, "linear_attn.conv1d", qkv, net.kernel, /*bias=*/false);
  list.Add("linear_attn.dt_bias", TensorRole::kSmall, {heads});
  list.Add("linear_attn.A_log", TensorRole::kSmall, {heads});
  list.Norm("linear_attn.norm", net.value_dim);
  list.Matrix("linear_attn.out_proj", hidden, values);
}

RecurrentSpec StateOf(const DeltaNet& net) {
  return SpecOf(Convolved(net) * (net.kernel - 1),
                ByHead(net.value_heads, net.value_dim) * net.key_dim);
}

std::optional<ElementType> ReadStateType(ConfigFields& fields, std::string_view name) {
  const std::optional<std::string> text = fields.Text(name);
  if (!text) return std::nullopt;
  const std::optional<ElementType> type = ElementTypeFromName(*text);
  if (!type || BitsOf(*type) < 16) fields.Refuse(name, "float32, float16 or bfloat16");
  return type;
}

}  // namespace plimsoll
