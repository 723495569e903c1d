#include "kvcache/model/mamba_parts.h"

#include <algorithm>
#include <string>

#include "kvcache/model/decoder_parts.h"

namespace plimsoll {
namespace {

void AddConvolution(TensorList& list, const std::string& name, int64_t channels, int64_t kernel,
                    bool bias) {
  list.Add(name + ".weight", TensorRole::kSmall, {channels, 1, kernel});
  if (bias) list.Add(name + ".bias", TensorRole::kSmall, {channels});
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
  list.Matrix(own + "in_proj", 2 * mamba.inner, model.hidden_size, mamba.bias);
  AddConvolution(list, own + "conv1d", mamba.inner, mamba.kernel, mamba.conv_bias);
  list.Matrix(own + "x_proj", mamba.rank + 2 * mamba.state, mamba.inner);
  list.Matrix(own + "dt_proj", mamba.inner, mamba.rank, /*bias=*/true);
  list.Add(own + "A_log", TensorRole::kSmall, {mamba.inner, mamba.state});
  list.Add(own + "D", TensorRole::kSmall, {mamba.inner});
  list.Matrix(own + "out_proj", model.hidden_size, mamba.inner, mamba.bias);
  model.widest_ffn = std::max(model.widest_ffn, mamba.inner);
  if (!mamba.step_norms) return;
  list.Norm(own + "dt_layernorm", mamba.rank);
  list.Norm(own + "b_layernorm", mamba.state);
  list.Norm(own + "c_layernorm", mamba.state);
}

RecurrentSpec StateOf(const Mamba1& mamba) {
  return {.conv_elements = mamba.inner * (mamba.kernel - 1),
          .state_elements = mamba.inner * mamba.state};
}

void AddMamba2(ModelConfig& model, TensorList& list, std::string_view prefix, const Mamba2& mamba) {
  const std::string own(prefix);
  const int64_t in = mamba.inner() + mamba.conv_dim() + mamba.heads;
  list.Matrix(own + "in_proj", in, model.hidden_size, mamba.bias);
  AddConvolution(list, own + "conv1d", mamba.conv_dim(), mamba.kernel, mamba.conv_bias);
  for (const char* const name : {"dt_bias", "A_log", "D"}) {
    list.Add(own + name, TensorRole::kSmall, {mamba.heads});
  }
  list.Norm(own + "norm", mamba.inner());
  list.Matrix(own + "out_proj", model.hidden_size, mamba.inner(), mamba.bias);
  model.widest_ffn = std::max(model.widest_ffn, mamba.inner());
}

RecurrentSpec StateOf(const Mamba2& mamba) {
  return {.conv_elements = mamba.conv_dim() * (mamba.kernel - 1),
          .state_elements = mamba.inner() * mamba.state};
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
  if (net.fused) {
    list.Matrix("linear_attn.in_proj_qkvz", net.conv_dim() + net.values(), hidden);
    list.Matrix("linear_attn.in_proj_ba", 2 * net.value_heads, hidden);
  } else {
    list.Matrix("linear_attn.in_proj_qkv", net.conv_dim(), hidden);
    list.Matrix("linear_attn.in_proj_z", net.values(), hidden);
    list.Matrix("linear_attn.in_proj_b", net.value_heads, hidden);
    list.Matrix("linear_attn.in_proj_a", net.value_heads, hidden);
  }
  AddConvolution(list, "linear_attn.conv1d", net.conv_dim(), net.kernel, /*bias=*/false);
  list.Add("linear_attn.dt_bias", TensorRole::kSmall, {net.value_heads});
  list.Add("linear_attn.A_log", TensorRole::kSmall, {net.value_heads});
  list.Norm("linear_attn.norm", net.value_dim);
  list.Matrix("linear_attn.out_proj", hidden, net.values());
}

RecurrentSpec StateOf(const DeltaNet& net) {
  return {.conv_elements = net.conv_dim() * (net.kernel - 1),
          .state_elements = net.values() * net.key_dim};
}

std::optional<ElementType> ReadStateType(ConfigFields& fields, std::string_view name) {
  const std::optional<std::string> text = fields.Text(name);
  if (!text) return std::nullopt;
  const std::optional<ElementType> type = ElementTypeFromName(*text);
  if (!type || BitsOf(*type) < 16) fields.Refuse(name, "float32, float16 or bfloat16");
  return type;
}

}  // namespace plimsoll
