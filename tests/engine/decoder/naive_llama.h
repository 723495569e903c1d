// A LLaMA that has no cache, no blocks and no table of operations: the whole sequence at once, in
// double, straight from the formulas. It judges the decoder.
//
// The order of operations, the split of heads and the masks are written out here a second time on
// purpose; only weights and rotary frequencies are shared with what it judges.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/decoder/rotary.h"
#include "engine/ops/float16.h"
#include "engine/weights/weights.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

class NaiveLlama {
 public:
  NaiveLlama(const ModelConfig& model, const Weights& weights) : model_(model), weights_(weights) {}

  // Logits of every position, row-major.
  std::vector<float> Logits(std::span<const int32_t> tokens) const {
    Rows x;
    for (const int32_t token : tokens) x.push_back(Row("model.embed_tokens.weight", token));
    for (int64_t layer = 0; layer < model_.layers; ++layer) Layer(layer, x);
    const std::string head =
        model_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    std::vector<float> logits;
    for (const Vector& row : x) {
      for (const double each : Multiply(head, Norm("model.norm.weight", row))) {
        logits.push_back(static_cast<float>(each));
      }
    }
    return logits;
  }

 private:
  using Vector = std::vector<double>;
  using Rows = std::vector<Vector>;

  Vector Row(const std::string& name, int64_t row) const {
    const WeightView view = weights_.Find(name);
    Vector out;
    for (int64_t i = 0; i < view.cols; ++i) {
      out.push_back(ReadElement(view.data, view.type, row * view.cols + i));
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
    for (size_t i = 0; i < x.size(); ++i) x[i] *= gain[i] * scale;
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
      const Vector normed = Norm(prefix + "input_layernorm.weight", row);
      q.push_back(Project(prefix + "self_attn.q_proj", normed));
      k.push_back(Project(prefix + "self_attn.k_proj", normed));
      v.push_back(Project(prefix + "self_attn.v_proj", normed));
    }
    for (size_t p = 0; p < x.size(); ++p) {
      Vector attended;
      for (int64_t head = 0; head < spec.heads; ++head) {
        const Vector mix = Attend(prefix, spec, head, p, q, k, v);
        attended.insert(attended.end(), mix.begin(), mix.end());
      }
      AddTo(x[p], Project(prefix + "self_attn.o_proj", attended));
      const Vector normed = Norm(prefix + "post_attention_layernorm.weight", x[p]);
      Vector gate = Project(prefix + "mlp.gate_proj", normed);
      const Vector up = Project(prefix + "mlp.up_proj", normed);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      AddTo(x[p], Project(prefix + "mlp.down_proj", gate));
    }
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
      weights.push_back(std::exp(dot / std::sqrt(static_cast<double>(spec.head_dim))));
      sum += weights.back();
    }
    Vector out(static_cast<size_t>(spec.head_dim), 0.0);
    for (size_t t = first; t <= p; ++t) {
      const Vector value = Head(v[t], kv_head, spec.head_dim);
      for (size_t i = 0; i < out.size(); ++i) out[i] += weights[t - first] / sum * value[i];
    }
    return out;
  }

  static void AddTo(Vector& x, const Vector& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  const ModelConfig& model_;
  const Weights& weights_;
};

}  // namespace plimsoll
