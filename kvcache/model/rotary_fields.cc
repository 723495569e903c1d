#include "kvcache/model/rotary_fields.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

using Scaling = RotaryConfig::Scaling;

constexpr int64_t kMaxOriginalContext = int64_t{1} << 32;

// The name of the kind is under "rope_type", in older files under "type".
Scaling ReadScaling(ConfigFields& fields) {
  constexpr std::array<std::pair<std::string_view, Scaling>, 7> kKinds = {
      {{"default", Scaling::kNone},
       {"linear", Scaling::kLinear},
       {"dynamic", Scaling::kDynamic},
       {"yarn", Scaling::kYarn},
       {"llama3", Scaling::kLlama3},
       {"longrope", Scaling::kLongRope},
       {"su", Scaling::kLongRope}}};  // longrope's first name
  const std::string_view field = fields.Has("rope_type") ? "rope_type" : "type";
  const std::string name = fields.Text(field).value_or("default");
  for (const auto& [known, kind] : kKinds) {
    if (known == name) return kind;
  }
  fields.Refuse(field, "default, linear, dynamic, yarn, llama3 or longrope");
  return Scaling::kNone;
}

double YarnMagnitude(double factor, double scale) {
  return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

// Multiplies cos and sin; formulas of the papers, as Hugging Face applies them.
double DefaultAttentionFactor(ConfigFields& fields, const RotaryConfig& rotary,
                              Tokens max_context) {
  if (rotary.scaling == Scaling::kYarn) {
    if (!fields.Has("mscale") || !fields.Has("mscale_all_dim")) {
      return YarnMagnitude(rotary.factor, 1.0);
    }
    return YarnMagnitude(rotary.factor, fields.Positive("mscale", 1.0)) /
           YarnMagnitude(rotary.factor, fields.Positive("mscale_all_dim", 1.0));
  }
  if (rotary.scaling != Scaling::kLongRope) return 1.0;
  const auto original = static_cast<double>(rotary.original_context.value());
  const double growth = static_cast<double>(max_context.value()) / original;
  return growth <= 1 || original <= 1 ? 1.0
                                      : std::sqrt(1.0 + std::log(growth) / std::log(original));
}

std::vector<double> ReadPairFactors(ConfigFields& fields, std::string_view name, int64_t pairs) {
  std::vector<double> factors = fields.Positives(name);
  if (std::ssize(factors) != pairs) {
    fields.Refuse(name, "one number for each of " + std::to_string(pairs) + " rotated pairs");
  }
  return factors;
}

void ReadScalingFields(ConfigFields& fields, Tokens fallback_original, Tokens max_context,
                       RotaryConfig& rotary) {
  rotary.scaling = ReadScaling(fields);
  if (rotary.scaling == Scaling::kNone) return;
  if (rotary.scaling != Scaling::kLongRope && !fields.Has("factor")) {
    fields.Refuse("factor", "a number above 0");
  }
  rotary.factor = fields.Positive("factor", 1.0);
  rotary.low_freq_factor = fields.Positive("low_freq_factor", rotary.low_freq_factor);
  rotary.high_freq_factor = fields.Positive("high_freq_factor", rotary.high_freq_factor);
  rotary.beta_fast = fields.Positive("beta_fast", rotary.beta_fast);
  rotary.beta_slow = fields.Positive("beta_slow", rotary.beta_slow);
  rotary.original_context = Tokens(fields.Count("original_max_position_embeddings",
                                                kMaxOriginalContext, fallback_original.value()));
  rotary.attention_factor =
      fields.Positive("attention_factor", DefaultAttentionFactor(fields, rotary, max_context));
  if (rotary.scaling != Scaling::kLongRope) return;
  rotary.short_factor = ReadPairFactors(fields, "short_factor", rotary.rotated_dims / 2);
  rotary.long_factor = ReadPairFactors(fields, "long_factor", rotary.rotated_dims / 2);
}

int64_t RotatedDims(ConfigFields& fields, double share, int64_t head_dim) {
  const auto rotated = static_cast<int64_t>(static_cast<double>(head_dim) * std::min(share, 1.0));
  if (share > 1 || rotated < 2 || rotated % 2 != 0) {
    fields.Fail(BadField("partial_rotary_factor times head_dim", rotated,
                         "an even number from 2 to head_dim=" + std::to_string(head_dim)));
  }
  return rotated;
}

}  // namespace

RotaryConfig ReadRotary(ConfigFields& fields, Tokens max_context, int64_t head_dim,
                        double default_theta) {
  const std::string where = fields.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  static const nlohmann::json kNothing = nlohmann::json::object();
  const nlohmann::json* object = fields.Object(where);
  if (object == nullptr) object = &kNothing;
  // Models with two kinds of attention have one set for each; the full one is read.
  if (object->contains("full_attention") && object->at("full_attention").is_object()) {
    object = &object->at("full_attention");
  }
  ConfigFields inner(*object, where + ".");
  RotaryConfig rotary;
  rotary.theta = inner.Positive("rope_theta", fields.Positive("rope_theta", default_theta));
  const double share =
      inner.Positive("partial_rotary_factor", fields.Positive("partial_rotary_factor", 1.0));
  rotary.rotated_dims = RotatedDims(fields, share, head_dim);
  const Tokens original(
      fields.Count("original_max_position_embeddings", kMaxOriginalContext, max_context.value()));
  ReadScalingFields(inner, original, max_context, rotary);
  fields.Fail(inner.status());
  return rotary;
}

}  // namespace plimsoll
