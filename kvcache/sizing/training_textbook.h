// Training arithmetic without a config.json: a bare number of parameters, and the shape that a
// decoder of that size usually has.
//
// The usual shape has heads 128 wide, hidden = 128 x layers and an FFN of 4 x hidden, so that
// N = 12 x layers x hidden^2 = 196608 x layers^3; layers is the largest whole number within N. It
// gives 32, 40 and 96 layers for 7B, 13B and 175B, which is what models of those sizes have.
//
// Threads: pure. Cost: none. Errors: InvalidArgument naming the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

struct TextbookModel {
  int64_t parameters;  // 1 to kMaxTextbookParameters
  int64_t layers;      // 1 to 2^20
  int64_t hidden;      // 1 to 2^22
  int64_t heads;       // of a layer; 1 to 2^20
};

inline constexpr int64_t kMaxTextbookParameters = int64_t{1} << 50;

// Reads "13e9", "13B", "7.5B", "125M" or "13000000000"; whole after scaling, from 1 to
// kMaxTextbookParameters. No float holds it on the way.
absl::StatusOr<int64_t> ParseParameterCount(std::string_view text);

// `parameters` from 1 to kMaxTextbookParameters, in the usual shape.
TextbookModel UsualShape(int64_t parameters);

// hV + L(12h^2 + 13h) + 2h: what the textbook says that `model` has; nullopt beyond 64 bits.
std::optional<int64_t> TextbookParameters(const ModelConfig& model);

}  // namespace plimsoll
