// Another shape for a model's config.json: the same family, fewer or other layers.
//
// Lists that go by layer or by rotated pair are cut or repeated to the new length; token ids beyond
// a smaller vocabulary become null; a quantisation is dropped, since what is written is plain.
//
// Threads: pure. Cost: O(text). Errors: InvalidArgument when the text is not a JSON object.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"

namespace plimsoll {

// What is not set stays as it is. Counts are > 0; whether they go together, the reader of the
// configuration says.
struct ModelShape {
  std::optional<int64_t> layers = std::nullopt;
  std::optional<int64_t> hidden = std::nullopt;
  std::optional<int64_t> intermediate = std::nullopt;  // of experts too
  std::optional<int64_t> heads = std::nullopt;
  std::optional<int64_t> kv_heads = std::nullopt;
  std::optional<int64_t> head_dim = std::nullopt;
  std::optional<int64_t> vocab = std::nullopt;
  std::optional<ElementType> type = std::nullopt;  // fp32, fp16 or bf16
};

// The text of `config_json` with `shape` put in.
absl::StatusOr<std::string> Reshape(std::string_view config_json, const ModelShape& shape);

}  // namespace plimsoll
