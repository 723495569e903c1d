// Patterns by which quantised checkpoints name modules, resolved against a model's own.
//
// Two kinds are read: globs, in which "*" is any text, dots too ("*mlp.gate*"), and of regular
// expressions what checkpoints use: letters, ".", "\.", "\d", a set of digits, each with "*" or "+"
// after it, alternatives in parentheses, "^" and "$". An expression need not reach the end.
//
// Threads: pure. Cost: O(names x patterns x their lengths), once for all layers where a pattern has
// no digits. Errors: a pattern of any other kind, or too many, is nullopt.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvcache/model/model_config.h"

namespace plimsoll {

enum class PatternKind : uint8_t { kGlob, kExpression };

// Whether `name` is one that `pattern` names.
std::optional<bool> MatchesPattern(std::string_view name, std::string_view pattern,
                                   PatternKind kind);

// The names of the matrices of `model` that `pattern` names, without ".weight"; "*" stands for the
// layer where all of a tensor's layers are meant.
std::optional<std::vector<std::string>> ModulesNamed(const ModelConfig& model,
                                                     std::string_view pattern, PatternKind kind);

}  // namespace plimsoll
