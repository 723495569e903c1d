// What the readers of single quantisation methods share.
//
// Threads: none. Cost: O(fields). Errors: in the ConfigFields given; what is not known is nullopt
// or false.
//
// This header shows nlohmann::json, so it is private to the library and not installed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kvcache/model/config_fields.h"
#include "kvcache/model/model_config.h"
#include "kvcache/model/module_patterns.h"

namespace plimsoll {

using Storage = std::optional<QuantizedStorage>;

inline constexpr int64_t kMaxGroup = int64_t{1} << 20;

// The names that `entries` stand for: patterns resolved, plain names as they are. Entries of
// expressions begin with "re:"; any entry of globs may have a "*".
std::optional<std::vector<std::string>> ModulesIn(const std::vector<std::string>& entries,
                                                  PatternKind kind, const ModelConfig& model);

// Of compressed-tensors: groups of modules, each with a format.
Storage ReadCompressedTensors(ConfigFields& fields, ModelConfig& model);
// Of modelopt, in config.json or in the file beside it.
Storage ReadModelOpt(ConfigFields& fields, ModelConfig& model);

}  // namespace plimsoll
