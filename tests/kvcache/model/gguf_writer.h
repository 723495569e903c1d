// Heads of GGUF files for tests, put together value by value as the format says.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kvcache/model/gguf_types.h"

namespace plimsoll {

// The low `width` bytes of `value`, lowest first.
inline std::string LowBytes(uint64_t value, int width) {
  std::string raw;
  for (int i = 0; i < width; ++i) raw += static_cast<char>(value >> (8 * i) & 0xff);
  return raw;
}

inline std::string GgufString(std::string_view text) {
  return LowBytes(text.size(), 8) + std::string(text);
}

class GgufWriter {
 public:
  explicit GgufWriter(uint32_t version = 3) : version_(version) {}

  // A pair with its value as raw bytes.
  void Pair(std::string_view key, uint32_t type, std::string_view value) {
    pairs_ += GgufString(key) + LowBytes(type, 4) + std::string(value);
    ++pair_count_;
  }
  void Number(std::string_view key, uint32_t value) { Pair(key, 4, LowBytes(value, 4)); }
  void Real(std::string_view key, float value) {
    Pair(key, 6, LowBytes(std::bit_cast<uint32_t>(value), 4));
  }
  void Text(std::string_view key, std::string_view value) { Pair(key, 8, GgufString(value)); }
  void Numbers(std::string_view key, const std::vector<int32_t>& values) {
    std::string list = LowBytes(5, 4) + LowBytes(values.size(), 8);
    for (const int32_t each : values) list += LowBytes(static_cast<uint32_t>(each), 4);
    Pair(key, 9, list);
  }
  void Texts(std::string_view key, const std::vector<std::string>& values) {
    std::string list = LowBytes(8, 4) + LowBytes(values.size(), 8);
    for (const std::string& each : values) list += GgufString(each);
    Pair(key, 9, list);
  }

  // Row-major extents, which the file has the other way round.
  void Tensor(std::string_view name, std::string_view type, const std::vector<int64_t>& shape) {
    const GgufType& kind = *GgufTypeNamed(type);
    int64_t elements = 1;
    for (const int64_t extent : shape) elements *= extent;
    RawTensor(name, kind.id, shape, data_bytes_);
    const int64_t bytes = elements / kind.block_elements * kind.block_bytes;
    data_bytes_ = CeilDivide(data_bytes_ + bytes, 32) * 32;
  }
  void RawTensor(std::string_view name, uint32_t type, const std::vector<int64_t>& shape,
                 int64_t offset) {
    tensors_ += GgufString(name) + LowBytes(shape.size(), 4);
    for (size_t i = shape.size(); i-- > 0;) {
      tensors_ += LowBytes(static_cast<uint64_t>(shape[i]), 8);
    }
    tensors_ += LowBytes(type, 4) + LowBytes(static_cast<uint64_t>(offset), 8);
    ++tensor_count_;
  }

  std::string Head() const {
    return "GGUF" + LowBytes(version_, 4) + LowBytes(tensor_count_, 8) + LowBytes(pair_count_, 8) +
           pairs_ + tensors_;
  }
  // Of the file that begins so: the data begins at a multiple of 32.
  int64_t FileBytes() const { return CeilDivide(std::ssize(Head()), 32) * 32 + data_bytes_; }

 private:
  uint32_t version_;
  uint64_t pair_count_ = 0, tensor_count_ = 0;
  std::string pairs_, tensors_;
  int64_t data_bytes_ = 0;
};

// A LLaMA-like model as llama.cpp's converter writes one.
struct GgufLlama {
  std::string architecture = "llama";
  int64_t blocks = 2, hidden = 64, ffn = 96, heads = 4, kv_heads = 2, vocabulary = 100;
  int64_t head_dim = 16, context = 256;
  std::string matrices = "F16";  // their type
  std::string output = "F16";    // of the head; "" shares the embedding
};

inline GgufWriter Written(const GgufLlama& llama) {
  GgufWriter file;
  const std::string own = llama.architecture + ".";
  const auto number = [&](std::string_view key, int64_t value) {
    file.Number(own + std::string(key), static_cast<uint32_t>(value));
  };
  file.Text("general.architecture", llama.architecture);
  number("block_count", llama.blocks);
  number("context_length", llama.context);
  number("embedding_length", llama.hidden);
  number("feed_forward_length", llama.ffn);
  number("attention.head_count", llama.heads);
  number("attention.head_count_kv", llama.kv_heads);
  if (llama.head_dim * llama.heads != llama.hidden) {
    number("attention.key_length", llama.head_dim);
    number("attention.value_length", llama.head_dim);
  }
  file.Real(own + "attention.layer_norm_rms_epsilon", 1e-5f);
  file.Texts("tokenizer.ggml.tokens", {"<s>", "</s>"});
  file.Tensor("token_embd.weight", llama.matrices, {llama.vocabulary, llama.hidden});
  file.Tensor("output_norm.weight", "F32", {llama.hidden});
  if (!llama.output.empty()) {
    file.Tensor("output.weight", llama.output, {llama.vocabulary, llama.hidden});
  }
  const int64_t q = llama.heads * llama.head_dim, kv = llama.kv_heads * llama.head_dim;
  for (int64_t i = 0; i < llama.blocks; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    file.Tensor(block + "attn_norm.weight", "F32", {llama.hidden});
    file.Tensor(block + "attn_q.weight", llama.matrices, {q, llama.hidden});
    file.Tensor(block + "attn_k.weight", llama.matrices, {kv, llama.hidden});
    file.Tensor(block + "attn_v.weight", llama.matrices, {kv, llama.hidden});
    file.Tensor(block + "attn_output.weight", llama.matrices, {llama.hidden, q});
    file.Tensor(block + "ffn_norm.weight", "F32", {llama.hidden});
    file.Tensor(block + "ffn_gate.weight", llama.matrices, {llama.ffn, llama.hidden});
    file.Tensor(block + "ffn_up.weight", llama.matrices, {llama.ffn, llama.hidden});
    file.Tensor(block + "ffn_down.weight", llama.matrices, {llama.hidden, llama.ffn});
  }
  return file;
}

}  // namespace plimsoll
