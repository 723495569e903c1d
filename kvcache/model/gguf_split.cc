#include "kvcache/model/gguf_split.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace plimsoll {
namespace {

enum class Axis : uint8_t { kRows, kColumns };

struct Rule {
  std::string_view stem;  // of the name, without ".weight" or ".bias" and what says experts
  SplitUnit unit;
  Axis axis;
};

constexpr std::array<Rule, 23> kRules = {{
    {"token_embd", SplitUnit::kVocabulary, Axis::kRows},
    {"output", SplitUnit::kVocabulary, Axis::kRows},
    {"attn_q", SplitUnit::kHead, Axis::kRows},
    {"attn_q_b", SplitUnit::kHead, Axis::kRows},
    {"attn_k", SplitUnit::kKvHead, Axis::kRows},
    {"attn_v", SplitUnit::kKvHead, Axis::kRows},
    {"attn_kv_b", SplitUnit::kHead, Axis::kRows},
    {"attn_k_b", SplitUnit::kHead, Axis::kRows},
    {"attn_v_b", SplitUnit::kHead, Axis::kRows},
    {"attn_sinks", SplitUnit::kHead, Axis::kRows},
    {"attn_output", SplitUnit::kHead, Axis::kColumns},
    {"ffn_gate", SplitUnit::kInner, Axis::kRows},
    {"ffn_up", SplitUnit::kInner, Axis::kRows},
    {"ffn_down", SplitUnit::kInner, Axis::kColumns},
    {"ffn_gate_up", SplitUnit::kInner, Axis::kRows},
    {"ssm_in", SplitUnit::kInner, Axis::kRows},
    {"ssm_conv1d", SplitUnit::kInner, Axis::kRows},
    {"ssm_x", SplitUnit::kInner, Axis::kColumns},
    {"ssm_dt", SplitUnit::kInner, Axis::kRows},
    {"ssm_a", SplitUnit::kInner, Axis::kRows},
    {"ssm_d", SplitUnit::kInner, Axis::kRows},
    {"ssm_out", SplitUnit::kInner, Axis::kColumns},
    {"attn_qkv", SplitUnit::kHead, Axis::kRows},
}};

std::string_view Without(std::string_view text, std::string_view ending) {
  return text.ends_with(ending) ? text.substr(0, text.size() - ending.size()) : text;
}

std::string_view StemOf(std::string_view name) {
  for (const std::string_view ending : {".weight", ".bias", "_exps", "_shexp"}) {
    name = Without(name, ending);
  }
  return name;
}

// q, k and v one after the other.
std::vector<SplitPart> FusedParts(const AttentionSpec& layer) {
  return {{SplitUnit::kHead, layer.heads, layer.head_dim},
          {SplitUnit::kKvHead, layer.kv_heads, layer.head_dim},
          {SplitUnit::kKvHead, layer.kv_heads, layer.value_dim}};
}

// `extent` in units of the rule's kind; empty where it is no whole number of them.
std::vector<SplitPart> PartsOf(const Rule& rule, int64_t extent, const AttentionSpec* layer) {
  if (rule.unit != SplitUnit::kHead && rule.unit != SplitUnit::kKvHead) {
    return {{rule.unit, extent, 1}};
  }
  if (layer == nullptr) return {};
  if (rule.stem == "attn_qkv") return FusedParts(*layer);
  const int64_t count = rule.unit == SplitUnit::kHead ? layer->heads : layer->kv_heads;
  if (extent % count != 0) return {};
  return {{rule.unit, count, extent / count}};
}

}  // namespace

// The bias of what is added up over GPUs is whole.
void SplitGgufTensor(std::string_view name, const AttentionSpec* heads, TensorSpec& tensor) {
  const std::string_view stem = StemOf(name);
  const auto rule = std::find_if(kRules.begin(), kRules.end(),
                                 [&](const Rule& each) { return each.stem == stem; });
  if (rule == kRules.end() || tensor.shape.empty()) return;
  const size_t last = tensor.shape.size() - 1;
  const bool columns = rule->axis == Axis::kColumns;
  if (columns && last == 0) return;
  tensor.split_axis = columns ? last : 0;
  tensor.split = PartsOf(*rule, tensor.shape[tensor.split_axis], heads);
}

}  // namespace plimsoll
