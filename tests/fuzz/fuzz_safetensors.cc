// Any bytes as a safetensors file: a length, a header, the data; laid beside a small model.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kvcache/base/check.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/model/header_match.h"
#include "kvcache/model/safetensors_header.h"
#include "tests/fuzz/judge.h"

namespace {

// Two layers, a tied head.
plimsoll::ModelConfig SmallModel() {
  return *plimsoll::ParseModelConfig(R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 4,
"intermediate_size": 2, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 3,
"num_key_value_heads": 1, "max_position_embeddings": 64, "tie_word_embeddings": true,
"torch_dtype": "float16"})",
                                     "fuzz");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  if (size < 8) return 0;
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | data[i];
  if (length > size - 8) return 0;
  const std::string_view header(reinterpret_cast<const char*>(data) + 8, length);
  const auto rest = static_cast<int64_t>(size - 8 - length);
  const auto start = static_cast<int64_t>(8 + length);
  const absl::StatusOr<StoredTensors> tensors = ParseSafetensorsHeader(header, start, rest);
  if (!tensors.ok()) {
    JudgeRefusal(tensors.status());
    return 0;
  }
  Bytes sum;
  for (const auto& [name, tensor] : *tensors) sum += tensor.bytes;
  PLIMSOLL_CHECK(sum == Bytes(rest), sum, rest);
  static const ModelConfig kSmall = SmallModel();
  ModelConfig model = kSmall;
  MatchHeaders(*tensors, 1, model);
  Bytes loaded;
  for (const TensorSpec& tensor : model.tensors) loaded += *tensor.stored_bytes;
  PLIMSOLL_CHECK(model.headers->all.bytes == sum, sum);
  PLIMSOLL_CHECK(model.headers->loaded.bytes == loaded, loaded);
  JudgeModel(model);
  return 0;
}
