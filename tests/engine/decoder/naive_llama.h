// A LLaMA, and the families near it, without a cache, blocks or a table of operations: the whole
// sequence at once, in double, straight from the formulas. It judges the decoder.
//
// The order of operations, the split of heads and the masks are written out here a second time on
// purpose; only weights and rotary frequencies are shared with what it judges.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/decoder/rotary.h"
#include "engine/ops/weight_element.h"
#include "engine/weights/weights.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

class NaiveLlama {
 public:
  NaiveLlama(const ModelConfig& model, const Weights& weights) : model_(model), weights_(weights) {}

  // Logits of every position, row-major.
  std::vector<float> Logits(std::span<const int32_t> tokens) const {
    Rows x;
    for (const int32_t token : tokens) {
      x.push_back(Row("model.embed_tokens.weight", token));
      if (gemma_) {
        for (double& each : x.back()) each *= Rounded(std::sqrt(static_cast<double>(Hidden())));
      }
    }
    for (int64_t layer = 0; layer < model_.layers; ++layer) Layer(layer, x);
    const std::string head =
        model_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    std::vector<float> logits;
    for (const Vector& row : x) {
      for (const double each : Multiply(head, Norm("model.norm.weight", row))) {
        logits.push_back(static_cast<float>(Capped(model_.final_softcap, each)));
      }
    }
    return logits;
  }

 private:
  using Vector = std::vector<double>;
  using Rows = std::vector<Vector>;

  int64_t Hidden() const { return model_.hidden_size; }

  // To as many binary digits as the checkpoint's type has.
  double Rounded(double value) const {
    const int digits = model_.dtype == ElementType::kBf16   ? 8
                       : model_.dtype == ElementType::kFp16 ? 11
                                                            : 24;
    int exponent = 0;
    const double mantissa = std::frexp(value, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(mantissa, digits)), exponent - digits);
  }

  static double Capped(std::optional<double> cap, double value) {
    return cap ? *cap * std::tanh(value / *cap) : value;
  }

  bool Has(const std::string& name) const { return weights_.Find(name).data != nullptr; }

  Vector Row(const std::string& name, int64_t row) const {
    const WeightView view = weights_.Find(name);
    Vector out;
    for (int64_t i = 0; i < view.cols; ++i) {
      out.push_back(WeightElement(view, row, i));
    }
    return out;
  }

  Vector Multiply(const std::string& name, const Vector& x) const {
    const int64_t rows = weights_.Find(name).rows;
    Vector out(static_cast<size_t>(rows), 0.0);
    for (int64_t r = 0; r < rows; ++r) {
      const Vector row = Row(name, r);
      for (size_t i = 0; i < x.size(); ++i) out[static_cast<size_t>(r)] += row[i] * x[i];
    }
    return out;
  }

  // With the bias, where the projection has one.
  Vector Project(const std::string& name, const Vector& x) const {
    Vector out = Multiply(name + ".weight", x);
    if (weights_.Find(name + ".bias").data == nullptr) return out;
    const Vector bias = Row(name + ".bias", 0);
    for (size_t i = 0; i < out.size(); ++i) out[i] += bias[i];
    return out;
  }

  Vector Norm(const std::string& name, Vector x) const {
    double squares = 0;
    for (const double each : x) squares += each * each;
    const double scale =
        1 / std::sqrt(squares / static_cast<double>(x.size()) + model_.norm_epsilon);
    const Vector gain = Row(name, 0);
    for (size_t i = 0; i < x.size(); ++i) x[i] *= (gain[i] + (gemma_ ? 1 : 0)) * scale;
    return x;
  }

  Vector Head(const Vector& x, int64_t head, int64_t dim) const {
    return {x.begin() + head * dim, x.begin() + (head + 1) * dim};
  }

  Vector Rotated(const Vector& x, size_t position) const {
    const Vector frequency =
        RotaryFrequencies(model_.rotary, Tokens(static_cast<int64_t>(position) + 1));
    Vector out = x;
    const size_t half = frequency.size();
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequency[i];
      const double c = std::cos(angle) * model_.rotary.attention_factor;
      const double s = std::sin(angle) * model_.rotary.attention_factor;
      out[i] = x[i] * c - x[i + half] * s;
      out[i + half] = x[i + half] * c + x[i] * s;
    }
    return out;
  }

  Vector NormedHead(const std::string& name, const Vector& head) const {
    return weights_.Find(name).data == nullptr ? head : Norm(name, head);
  }

  void Layer(int64_t layer, Rows& x) const {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const AttentionSpec& spec = model_.attention[static_cast<size_t>(layer)];
    Rows q, k, v;
    for (const Vector& row : x) {
      Qkv(prefix + "self_attn.", spec, Norm(prefix + "input_layernorm.weight", row), q, k, v);
    }
    for (size_t p = 0; p < x.size(); ++p) {
      Vector attended;
      for (int64_t head = 0; head < spec.heads; ++head) {
        const Vector mix = Attend(prefix, spec, head, p, q, k, v);
        attended.insert(attended.end(), mix.begin(), mix.end());
      }
      Vector branch = Project(prefix + "self_attn.o_proj", attended);
      if (four_norms_) branch = Norm(prefix + "post_attention_layernorm.weight", branch);
      AddTo(x[p], branch);
      const std::string before = four_norms_ ? "pre_feedforward" : "post_attention";
      branch = FeedForward(prefix, Norm(prefix + before + "_layernorm.weight", x[p]));
      if (four_norms_) branch = Norm(prefix + "post_feedforward_layernorm.weight", branch);
      AddTo(x[p], branch);
    }
  }

  void Qkv(const std::string& prefix, const AttentionSpec& spec, const Vector& x, Rows& q, Rows& k,
           Rows& v) const {
    if (!Has(prefix + "qkv_proj.weight")) {
      q.push_back(Project(prefix + "q_proj", x));
      k.push_back(Project(prefix + "k_proj", x));
      v.push_back(Project(prefix + "v_proj", x));
      return;
    }
    const Vector all = Project(prefix + "qkv_proj", x);
    const auto k_begin = all.begin() + spec.heads * spec.head_dim;
    const auto v_begin = k_begin + spec.kv_heads * spec.head_dim;
    q.emplace_back(all.begin(), k_begin);
    k.emplace_back(k_begin, v_begin);
    v.emplace_back(v_begin, all.end());
  }

  Vector FeedForward(const std::string& prefix, const Vector& x) const {
    if (Has(prefix + "block_sparse_moe.gate.weight")) {
      return Mix(prefix + "block_sparse_moe.", {"w1", "w3", "w2"}, x);
    }
    if (Has(prefix + "mlp.gate.weight")) return Mix(prefix + "mlp.", kUsualNames, x);
    if (!Has(prefix + "mlp.gate_up_proj.weight")) return Mlp(prefix + "mlp.", kUsualNames, x);
    const Vector both = Project(prefix + "mlp.gate_up_proj", x);
    const auto middle = both.begin() + std::ssize(both) / 2;
    return Project(prefix + "mlp.down_proj", Gated({both.begin(), middle}, {middle, both.end()}));
  }

  struct MlpNames {
    const char* gate;
    const char* up;
    const char* down;
  };
  static constexpr MlpNames kUsualNames = {"gate_proj", "up_proj", "down_proj"};

  Vector Mlp(const std::string& prefix, const MlpNames& names, const Vector& x) const {
    return Project(prefix + names.down,
                   Gated(Project(prefix + names.gate, x), Project(prefix + names.up, x)));
  }

  Vector Gated(Vector gate, const Vector& up) const {
    for (size_t i = 0; i < gate.size(); ++i) {
      const double g = gate[i];
      const double inner = std::sqrt(2 / std::acos(-1.0)) * (g + 0.044715 * g * g * g);
      gate[i] = (gemma_ ? g / 2 * (1 + std::tanh(inner)) : g / (1 + std::exp(-g))) * up[i];
    }
    return gate;
  }

  // Probabilities of all experts; the likeliest speak, again and again the first of the largest.
  Vector Mix(const std::string& prefix, const MlpNames& names, const Vector& x) const {
    Vector probability = Project(prefix + "gate", x);
    double sum = 0;
    for (double& each : probability) sum += each = std::exp(each);
    for (double& each : probability) each /= sum;
    std::vector<size_t> chosen;
    double share_of_chosen = 0;
    Vector left = probability;
    for (int64_t i = 0; i < model_.mixture->active; ++i) {
      const auto best = std::max_element(left.begin(), left.end());
      share_of_chosen += *best;
      *best = -1;
      chosen.push_back(static_cast<size_t>(best - left.begin()));
    }
    Vector out(x.size(), 0.0);
    for (const size_t e : chosen) {
      const double share =
          model_.mixture->renormalised ? probability[e] / share_of_chosen : probability[e];
      AddTo(out, Mlp(prefix + "experts." + std::to_string(e) + ".", names, x), share);
    }
    if (!Has(prefix + "shared_expert_gate.weight")) return out;
    const double open = 1 / (1 + std::exp(-Project(prefix + "shared_expert_gate", x)[0]));
    AddTo(out, Mlp(prefix + "shared_expert.", names, x), open);
    return out;
  }

  Vector Attend(const std::string& prefix, const AttentionSpec& spec, int64_t head, size_t p,
                const Rows& q, const Rows& k, const Rows& v) const {
    const int64_t kv_head = head / (spec.heads / spec.kv_heads);
    const size_t window = static_cast<size_t>(spec.window.value_or(Tokens(1 << 30)).value());
    const size_t first = p + 1 > window ? p + 1 - window : 0;
    const Vector query =
        Rotated(NormedHead(prefix + "self_attn.q_norm.weight", Head(q[p], head, spec.head_dim)), p);
    Vector weights;
    double sum = 0;
    for (size_t t = first; t <= p; ++t) {
      const Vector key = Rotated(
          NormedHead(prefix + "self_attn.k_norm.weight", Head(k[t], kv_head, spec.head_dim)), t);
      double dot = 0;
      for (size_t i = 0; i < key.size(); ++i) dot += query[i] * key[i];
      const double usual = 1 / std::sqrt(static_cast<double>(spec.head_dim));
      const double score = dot * model_.attention_scale.value_or(usual);
      weights.push_back(std::exp(Capped(model_.attention_softcap, score)));
      sum += weights.back();
    }
    Vector out(static_cast<size_t>(spec.head_dim), 0.0);
    for (size_t t = first; t <= p; ++t) {
      const Vector value = Head(v[t], kv_head, spec.head_dim);
      for (size_t i = 0; i < out.size(); ++i) out[i] += weights[t - first] / sum * value[i];
    }
    return out;
  }

  static void AddTo(Vector& x, const Vector& y, double times = 1) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += times * y[i];
  }

  const ModelConfig& model_;
  const Weights& weights_;
  const bool gemma_ = model_.architecture.starts_with("Gemma");
  const bool four_norms_ = model_.architecture == "Gemma2ForCausalLM";
};

}  // namespace plimsoll
