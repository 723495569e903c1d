// The config.json of a model that plans quickly.
#pragma once

namespace plimsoll {

inline constexpr char kSmallModel[] = R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
"intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 300,
"num_key_value_heads": 2, "max_position_embeddings": 4096, "torch_dtype": "float16"})";

}  // namespace plimsoll
