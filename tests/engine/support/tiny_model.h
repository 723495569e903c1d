// Small models on disk and in memory, and a cache to run them over: for tests of the engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/decoder/decoder.h"
#include "engine/device/backend.h"
#include "engine/weights/make_model.h"
#include "engine/weights/weights.h"
#include "kvcache/base/check.h"
#include "kvcache/pool/arena.h"
#include "kvcache/pool/kv_cache.h"
#include "kvcache/sizing/cache_layout.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {

struct TinyShape {
  std::string architecture = "LlamaForCausalLM";
  int64_t layers = 3;
  int64_t hidden = 64;
  int64_t intermediate = 96;
  int64_t heads = 8;
  int64_t kv_heads = 2;
  int64_t head_dim = 8;
  int64_t vocab = 101;
  int64_t context = 512;
  bool tied = false;
  std::string dtype = "bfloat16";
  std::string more = "";  // further fields: ", \"rope_theta\": 500000.0"
  uint64_t seed = 1;

  std::string Config() const {
    const auto field = [](const char* name, int64_t value) {
      return std::string(", \"") + name + "\": " + std::to_string(value);
    };
    return "{\"architectures\": [\"" + architecture + "\"], \"torch_dtype\": \"" + dtype + "\"" +
           field("num_hidden_layers", layers) + field("hidden_size", hidden) +
           field("intermediate_size", intermediate) + field("num_attention_heads", heads) +
           field("num_key_value_heads", kv_heads) + field("head_dim", head_dim) +
           field("vocab_size", vocab) + field("max_position_embeddings", context) +
           ", \"tie_word_embeddings\": " + (tied ? "true" : "false") + ", \"rms_norm_eps\": 1e-5" +
           more + "}";
  }
};

struct TinyModel {
  explicit TinyModel(const TinyShape& shape,
                     const std::optional<ElementType>& quantised = std::nullopt) {
    const std::string like = dir.Write("like/config.json", shape.Config());
    absl::StatusOr<MadeModel> made =
        MakeModel({.like = like, .folder = folder(), .seed = shape.seed});
    PLIMSOLL_CHECK(made.ok(), made.status());
    config = made->config;
    absl::StatusOr<std::unique_ptr<Weights>> loaded = Weights::Load(folder(), config, quantised);
    PLIMSOLL_CHECK(loaded.ok(), loaded.status());
    weights = *std::move(loaded);
  }
  // One that was read elsewhere.
  TinyModel(ModelConfig its_config, std::unique_ptr<Weights> its_weights)
      : config(std::move(its_config)), weights(std::move(its_weights)) {}

  std::string folder() const { return dir.File("model"); }

  TempDir dir;
  ModelConfig config;
  std::unique_ptr<Weights> weights;
};

// A pool, full of NaN as if others had used it before, and a decoder over it.
struct TinyEngine {
  struct Options {
    ElementType kv = ElementType::kBf16;
    Tokens block_tokens = Tokens(4);
    Blocks blocks = Blocks(64);
    Decoder::Options decoder = {.max_batched_tokens = Tokens(64), .max_logit_rows = 64};
    Eviction eviction = Eviction::kOff;
  };

  TinyEngine(const TinyModel& model, const Ops& ops, const Options& options,
             const DeviceBackend& device = CpuBackend())
      : layout(*CacheLayoutFor(model.config, options.kv, options.block_tokens)),
        arena(*device.CreateArena(options.blocks.value() * layout.block_bytes,
                                  device.ChunkGranule())),
        cache(*KvCache::Create({.capacity = options.blocks,
                                .block_tokens = options.block_tokens,
                                .eviction = options.eviction})) {
    PLIMSOLL_CHECK(arena->Commit({0, arena->chunks()}).ok());
    const std::vector<std::byte> nan(static_cast<size_t>(arena->committed_bytes().value()),
                                     std::byte{0xff});
    PLIMSOLL_CHECK(device.CopyToDevice(arena->base(), nan.data(), arena->committed_bytes()).ok());
    decoder = *Decoder::Create(model.config, *model.weights, {device, ops}, layout, *arena,
                               options.decoder);
  }

  SequenceId Begin() { return cache->Begin(Blocks(0)); }

  // Makes room for `tokens` at the end of the sequence: an entry for Forward.
  BatchEntry Append(SequenceId id, std::span<const int32_t> tokens, bool all_logits = true) {
    const int64_t first = cache->Length(id).value();
    const auto plan = cache->PlanAppend(id, Tokens(std::ssize(tokens)));
    PLIMSOLL_CHECK(plan.has_value());
    cache->Commit(*plan);
    return {.tokens = tokens,
            .first_position = first,
            .table = cache->Table(id),
            .all_logits = all_logits};
  }

  std::vector<float> Forward(std::span<const BatchEntry> batch) {
    const auto logits = decoder->Forward(batch);
    PLIMSOLL_CHECK(logits.ok(), logits.status());
    return {logits->begin(), logits->end()};
  }

  // Logits of every position of `tokens`, computed `chunk` at a time in a sequence of their own.
  std::vector<float> LogitsOf(std::span<const int32_t> tokens, size_t chunk) {
    const SequenceId id = Begin();
    std::vector<float> all;
    for (size_t at = 0; at < tokens.size(); at += chunk) {
      const BatchEntry entry = Append(id, tokens.subspan(at, std::min(chunk, tokens.size() - at)));
      const std::vector<float> some = Forward({&entry, 1});
      all.insert(all.end(), some.begin(), some.end());
    }
    cache->End(id);
    return all;
  }

  const CacheLayout layout;
  const std::unique_ptr<Arena> arena;
  const std::unique_ptr<KvCache> cache;
  std::unique_ptr<Decoder> decoder;
};

// ||a - b|| / ||b||; infinite where the sizes differ, NaN where either has one.
inline double RelativeError(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    size += double{b[i]} * b[i];
  }
  return std::sqrt(difference / size);
}

}  // namespace plimsoll
