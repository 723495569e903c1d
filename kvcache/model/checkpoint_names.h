// How checkpoints spell the names of tensors, and what the known extras are called.
//
// Threads: pure functions. Cost: O(name). Errors: nullopt, none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace plimsoll {

// The name without the words that lead to the language model: "layers.0.mlp.up_proj.weight".
std::string_view WithoutLead(std::string_view name);

// The tensor that `name` is a part of, where it ends as parts of quantised matrices do: packed
// numbers, which stand in place of the tensor, or what goes with them.
struct MatrixPart {
  std::string of;
  bool packed;
};
std::optional<MatrixPart> PartOf(std::string_view name);

// What a tensor without a place in a language model of `layers` layers belongs to: "vision tower",
// "prediction block", "rotary buffers", "causal masks". `name` is without its lead.
std::optional<std::string_view> KnownExtra(std::string_view name, int64_t layers);

// The name with each number in it replaced by "*": one for all layers and experts.
std::string WithoutNumbers(std::string_view name);

}  // namespace plimsoll
