// Configurations for tests: a complete small one, with fields replaced as a test needs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "kvcache/model/config_reader.h"

namespace plimsoll {

// A LLaMA-like configuration: 2 layers, hidden 64, 4 heads, 2 kv heads.
inline nlohmann::json SmallConfig(const std::string& architecture = "LlamaForCausalLM") {
  return {{"architectures", {architecture}},
          {"hidden_size", 64},
          {"intermediate_size", 96},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"vocab_size", 100},
          {"max_position_embeddings", 256},
          {"torch_dtype", "float16"}};
}

// SmallConfig with the fields of `changes` put in; a change to "absent" removes the field.
inline nlohmann::json Changed(nlohmann::json config, const nlohmann::json& changes) {
  for (const auto& [name, value] : changes.items()) {
    if (value == "absent") {
      config.erase(name);
    } else {
      config[name] = value;
    }
  }
  return config;
}

inline absl::StatusOr<ModelConfig> Parsed(const nlohmann::json& config) {
  return ParseModelConfig(config.dump(), "test");
}

// What is wrong with it; "accepted" if nothing is.
inline std::string Refusal(const absl::StatusOr<ModelConfig>& model) {
  return model.ok() ? "accepted" : std::string(model.status().message());
}

}  // namespace plimsoll
