// A small model written twice: quantised in the layout of some other program, and as the floats
// that those numbers stand for. The packers here are written from the layouts' descriptions and
// share nothing with the readers.
#pragma once

#include <random>

#include "engine/ops/float16.h"
#include "engine/weights/random_weights.h"
#include "engine/weights/safetensors_writer.h"
#include "engine/weights/tensor_names.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/weight_bytes.h"
#include "tests/engine/support/tiny_model.h"

namespace plimsoll {

struct PackedFormat {
  std::string name = "";
  std::string method;  // "compressed-tensors", "gptq", "awq"
  int bits = 4;
  int64_t group = 32;  // 0: the whole row
  bool zeros = true;
  std::string variant = "";  // of gptq: "checkpoint_format"
  bool act_order = false;

  std::string Config() const {
    if (method != "compressed-tensors") {
      const std::string v2 = variant.empty() ? "" : ", \"checkpoint_format\": \"" + variant + "\"";
      return ", \"quantization_config\": {\"quant_method\": \"" + method +
             "\", \"bits\": 4, \"group_size\": " + std::to_string(group == 0 ? -1 : group) + v2 +
             "}";
    }
    const std::string strategy =
        group == 0 ? "\"channel\"" : "\"group\", \"group_size\": " + std::to_string(group);
    return ", \"quantization_config\": {\"quant_method\": \"compressed-tensors\", \"format\": "
           "\"pack-quantized\", \"ignore\": [\"lm_head\"], \"config_groups\": {\"group_0\": "
           "{\"targets\": [\"Linear\"], \"weights\": {\"type\": \"int\", \"num_bits\": " +
           std::to_string(bits) + ", \"symmetric\": " + (zeros ? "false" : "true") +
           ", \"strategy\": " + strategy + "}}}}";
  }
};

// Every tensor's declaration and bytes, in order.
class CheckpointText {
 public:
  void Add(const std::string& name, const std::vector<int64_t>& shape, const std::string& dtype,
           const std::vector<uint32_t>& words) {
    declared_.push_back({name, ElementType::kFp32, shape, dtype});
    const auto bytes = std::as_bytes(std::span(words));
    data_.insert(data_.end(), bytes.begin(), bytes.end());
  }
  void Add(const std::string& name, const std::vector<int64_t>& shape, ElementType type,
           const std::vector<float>& values) {
    declared_.push_back({name, type, shape});
    const size_t begin = data_.size();
    data_.resize(begin + static_cast<size_t>(BytesOf(type, std::ssize(values)).value()));
    for (int64_t i = 0; i < std::ssize(values); ++i) {
      WriteElement(data_.data() + begin, type, i, values[static_cast<size_t>(i)]);
    }
  }
  void Write(const std::string& path) const {
    auto writer = SafetensorsWriter::Create(path, declared_);
    PLIMSOLL_CHECK(writer.ok(), writer.status());
    PLIMSOLL_CHECK((*writer)->Append(data_).ok());
    PLIMSOLL_CHECK((*writer)->Finish().ok());
  }

 private:
  std::vector<TensorToWrite> declared_;
  std::vector<std::byte> data_;
};

class QuantisedTwins {
 public:
  explicit QuantisedTwins(const PackedFormat& format, const TinyShape& plain = {.layers = 2})
      : format_(format), rng_(7) {
    TinyShape shape = plain;
    dir_.Write("floats/config.json", shape.Config());
    shape.more += format.Config();
    dir_.Write("packed/config.json", shape.Config());
    const auto model = ReadModelConfig(dir_.File("floats"));
    PLIMSOLL_CHECK(model.ok(), model.status());
    ForEachTensor(*model, [&](const std::string& name, const TensorSpec& spec) {
      IsMatrix(spec.role) ? AddMatrix(name, spec.shape) : AddPlain(name, spec);
      return true;
    });
    packed_.Write(dir_.File("packed/model.safetensors"));
    floats_.Write(dir_.File("floats/model.safetensors"));
  }

  std::string packed() const { return dir_.File("packed"); }
  std::string floats() const { return dir_.File("floats"); }

 private:
  using Words = std::vector<uint32_t>;

  void AddPlain(const std::string& name, const TensorSpec& spec) {
    std::vector<float> values(static_cast<size_t>(spec.ElementsOfOne()));
    RandomTensor random(1, name, spec);
    for (float& value : values) value = FloatFromBf16(Bf16FromFloat(random.Next()));
    packed_.Add(name, spec.shape, ElementType::kBf16, values);
    floats_.Add(name, spec.shape, ElementType::kBf16, values);
  }

  // Unsigned numbers, zeros and scales; the weight is scale * (number - zero).
  void AddMatrix(const std::string& name, const std::vector<int64_t>& shape) {
    rows_ = shape[0];
    cols_ = shape[1];
    group_ = format_.group == 0 ? cols_ : format_.group;
    groups_ = CeilDivide(cols_, group_);
    const uint32_t most = format_.bits == 4 ? 15 : 255;
    q_.resize(static_cast<size_t>(rows_ * cols_));
    for (uint32_t& each : q_) each = static_cast<uint32_t>(rng_()) & most;
    zero_.assign(static_cast<size_t>(rows_ * groups_), (most + 1) / 2);
    scale_.resize(zero_.size());
    const bool gptq = format_.method == "gptq";
    for (uint32_t& each : zero_) {
      if (format_.zeros) each = (gptq ? 1 : 0) + static_cast<uint32_t>(rng_()) % (most - 1);
    }
    std::uniform_real_distribution<float> some(0.5f, 1.5f);
    const float size = 5.0f / (static_cast<float>(most) * std::sqrt(static_cast<float>(cols_)));
    for (float& each : scale_) each = FloatFromFp16(Fp16FromFloat(size * some(rng_)));
    const std::string stem = name.substr(0, name.size() - std::string(".weight").size());
    if (format_.method == "compressed-tensors") AddRows(stem);
    if (format_.method == "gptq") AddGptq(stem);
    if (format_.method == "awq") AddAwq(stem);
    std::vector<float> values;
    for (int64_t i = 0; i < rows_ * cols_; ++i) values.push_back(ValueAt(i / cols_, i % cols_));
    floats_.Add(name, shape, ElementType::kFp32, values);
  }

  uint32_t Q(int64_t row, int64_t col) const { return q_[static_cast<size_t>(row * cols_ + col)]; }
  uint32_t Zero(int64_t row, int64_t g) const {
    return zero_[static_cast<size_t>(row * groups_ + g)];
  }
  float Scale(int64_t row, int64_t g) const {
    return scale_[static_cast<size_t>(row * groups_ + g)];
  }
  float ValueAt(int64_t row, int64_t col) const {
    const int64_t g = col / group_;
    const int steps = static_cast<int>(Q(row, col)) - static_cast<int>(Zero(row, g));
    return Scale(row, g) * static_cast<float>(steps);
  }
  static void Put(Words& words, int64_t word, int64_t bit, uint32_t value) {
    words[static_cast<size_t>(word)] |= value << bit;
  }
  static Words Empty(int64_t count) { return Words(static_cast<size_t>(count), 0); }

  void AddRows(const std::string& stem) {
    const int64_t in_word = 32 / format_.bits;
    const int64_t width = CeilDivide(cols_, in_word);
    Words words = Empty(rows_ * width);
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < cols_; ++c) {
        Put(words, r * width + c / in_word, c % in_word * format_.bits, Q(r, c));
      }
    }
    packed_.Add(stem + ".weight_packed", {rows_, width}, "I32", words);
    packed_.Add(stem + ".weight_scale", {rows_, groups_}, ElementType::kFp16, scale_);
    packed_.Add(stem + ".weight_shape", {2}, "I64",
                {static_cast<uint32_t>(rows_), 0, static_cast<uint32_t>(cols_), 0});
    if (!format_.zeros) return;
    Words zeros = Empty(CeilDivide(rows_, 8) * groups_);
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t g = 0; g < groups_; ++g) Put(zeros, r / 8 * groups_ + g, r % 8 * 4, Zero(r, g));
    }
    packed_.Add(stem + ".weight_zero_point", {CeilDivide(rows_, 8), groups_}, "I32", zeros);
  }

  // Scales with the groups first, as gptq and awq have them.
  void AddTransposedScales(const std::string& stem) {
    std::vector<float> turned;
    for (int64_t i = 0; i < groups_ * rows_; ++i) turned.push_back(Scale(i % rows_, i / rows_));
    packed_.Add(stem + ".scales", {groups_, rows_}, ElementType::kFp16, turned);
  }

  void AddGptq(const std::string& stem) {
    Words words = Empty(cols_ / 8 * rows_);
    for (int64_t i = 0; i < rows_ * cols_; ++i) {
      const int64_t r = i / cols_, c = i % cols_;
      Put(words, c / 8 * rows_ + r, c % 8 * 4, Q(r, c));
    }
    packed_.Add(stem + ".qweight", {cols_ / 8, rows_}, "I32", words);
    const uint32_t less = format_.variant == "gptq_v2" ? 0 : 1;
    Words zeros = Empty(groups_ * rows_ / 8);
    for (int64_t i = 0; i < rows_ * groups_; ++i) {
      const int64_t r = i / groups_, g = i % groups_;
      Put(zeros, g * (rows_ / 8) + r / 8, r % 8 * 4, Zero(r, g) - less);
    }
    packed_.Add(stem + ".qzeros", {groups_, rows_ / 8}, "I32", zeros);
    AddTransposedScales(stem);
    Words indices;
    for (int64_t c = 0; c < cols_; ++c) indices.push_back(static_cast<uint32_t>(c / group_));
    if (format_.act_order) std::swap(indices.front(), indices.back());
    packed_.Add(stem + ".g_idx", {cols_}, "I32", indices);
  }

  void AddAwq(const std::string& stem) {
    constexpr int64_t kOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};
    Words words = Empty(cols_ * rows_ / 8);
    Words zeros = Empty(groups_ * rows_ / 8);
    for (int64_t j = 0; j < rows_ / 8; ++j) {
      for (int64_t k = 0; k < 8; ++k) {
        const int64_t r = j * 8 + kOrder[k];
        for (int64_t c = 0; c < cols_; ++c) Put(words, c * (rows_ / 8) + j, k * 4, Q(r, c));
        for (int64_t g = 0; g < groups_; ++g) Put(zeros, g * (rows_ / 8) + j, k * 4, Zero(r, g));
      }
    }
    packed_.Add(stem + ".qweight", {cols_, rows_ / 8}, "I32", words);
    packed_.Add(stem + ".qzeros", {groups_, rows_ / 8}, "I32", zeros);
    AddTransposedScales(stem);
  }

  const PackedFormat format_;
  std::mt19937 rng_;
  TempDir dir_;
  CheckpointText packed_, floats_;
  int64_t rows_ = 0, cols_ = 0, group_ = 0, groups_ = 0;
  Words q_, zero_;
  std::vector<float> scale_;
};

}  // namespace plimsoll
