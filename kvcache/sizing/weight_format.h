// How a model's weights are stored: every element alike, as the engine lays them out, or as a
// quantised checkpoint has them.
//
// Threads: values and pure functions. Cost: a table look-up. Errors: an unknown name is nullopt.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "kvcache/base/element_type.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {

using WeightFormat = std::variant<ElementType, QuantizedStorage>;

// "bf16", "int4", "gptq-g128", "nf4-dq"
std::string NameOf(const WeightFormat& format);
std::optional<WeightFormat> WeightFormatFromName(std::string_view name);
// All of the names, for help and errors: "fp32, tf32, ..., gptq-gN, ..."
std::string WeightFormatNames();

// The engine's type of the same width: what buffers for such weights are counted by.
ElementType WidthOf(const WeightFormat& format);

// How the checkpoint of `model` is stored.
WeightFormat StoredFormatOf(const ModelConfig& model);

WeightBytes WeightBytesOf(const ModelConfig& model, const WeightFormat& format);

}  // namespace plimsoll
