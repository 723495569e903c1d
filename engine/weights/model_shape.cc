#include "engine/weights/model_shape.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "kvcache/base/errors.h"
#include "kvcache/model/strict_json.h"

namespace plimsoll {
namespace {

using Json = nlohmann::json;

// Families have other names for the same thing; the first is the usual one. Sets the one that the
// file uses, or the usual one where it uses none.
using Names = std::initializer_list<const char*>;
void Put(Json& config, Names names, std::optional<int64_t> value) {
  if (!value) return;
  const auto used = std::find_if(names.begin(), names.end(),
                                 [&](const char* name) { return config.contains(name); });
  config[used == names.end() ? *names.begin() : *used] = *value;
}

void PutWhereKnown(Json& config, const char* field, std::optional<int64_t> value) {
  if (value && config.contains(field)) config[field] = *value;
}

// Cuts `list` to `length`, or goes round it again until it is that long.
void FitList(Json& list, int64_t length) {
  if (!list.is_array() || list.empty()) return;
  const Json before = list;
  list = Json::array();
  for (size_t i = 0; i < static_cast<size_t>(length); ++i)
    list.push_back(before[i % before.size()]);
}

void PutType(Json& config, ElementType type) {
  const char* name = "bfloat16";
  if (type == ElementType::kFp16) name = "float16";
  if (type == ElementType::kFp32) name = "float32";
  config[config.contains("dtype") && !config.contains("torch_dtype") ? "dtype" : "torch_dtype"] =
      name;
}

void DropTokensBeyond(Json& config, int64_t vocab) {
  const auto beyond = [&](const Json& token) {
    return token.is_number() && token.get<double>() >= static_cast<double>(vocab);
  };
  for (const char* field : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (!config.contains(field)) continue;
    Json& token = config[field];
    const bool any =
        token.is_array() ? std::any_of(token.begin(), token.end(), beyond) : beyond(token);
    if (any) token = nullptr;
  }
}

double NumberOr(const Json& object, const char* field, double fallback) {
  const auto found = object.find(field);
  return found != object.end() && found->is_number() ? found->get<double>() : fallback;
}

// One entry of longrope's lists for each rotated pair of a head.
void FitPairFactors(Json& config) {
  const double heads = std::max(NumberOr(config, "num_attention_heads", 1), 1.0);
  const double head_dim =
      NumberOr(config, "head_dim", std::floor(NumberOr(config, "hidden_size", 0) / heads));
  for (const char* where : {"rope_scaling", "rope_parameters"}) {
    if (!config.contains(where) || !config[where].is_object()) continue;
    Json& scaling = config[where];
    const double share =
        NumberOr(scaling, "partial_rotary_factor", NumberOr(config, "partial_rotary_factor", 1));
    const auto pairs = static_cast<int64_t>(std::clamp(head_dim * share / 2, 0.0, 1e6));
    for (const char* list : {"short_factor", "long_factor"}) {
      if (scaling.contains(list)) FitList(scaling[list], pairs);
    }
  }
}

}  // namespace

absl::StatusOr<std::string> Reshape(std::string_view config_json, const ModelShape& shape) {
  absl::StatusOr<Json> parsed = ParseStrictJson(config_json);
  if (!parsed.ok()) return parsed.status();
  Json& config = *parsed;
  if (!config.is_object()) return absl::InvalidArgumentError("not a JSON object");
  Put(config, {"num_hidden_layers", "n_layer", "n_layers", "num_layers"}, shape.layers);
  Put(config, {"hidden_size", "n_embd", "d_model"}, shape.hidden);
  Put(config, {"intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"}, shape.intermediate);
  PutWhereKnown(config, "moe_intermediate_size", shape.intermediate);
  PutWhereKnown(config, "shared_expert_intermediate_size", shape.intermediate);
  Put(config, {"num_attention_heads", "n_head", "n_heads"}, shape.heads);
  Put(config, {"num_key_value_heads", "num_kv_heads", "multi_query_group_num"}, shape.kv_heads);
  Put(config, {"head_dim", "kv_channels"}, shape.head_dim);
  Put(config, {"vocab_size", "padded_vocab_size"}, shape.vocab);
  if (shape.layers && config.contains("layer_types")) FitList(config["layer_types"], *shape.layers);
  if (shape.vocab) DropTokensBeyond(config, *shape.vocab);
  if (shape.type) PutType(config, *shape.type);
  if (shape.hidden || shape.heads || shape.head_dim) FitPairFactors(config);
  config.erase("quantization_config");
  return config.dump(2, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) + "\n";
}

}  // namespace plimsoll
