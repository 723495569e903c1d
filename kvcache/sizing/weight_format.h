// How a model's weights are stored: every element alike, as the engine lays them out, as a
// quantised checkpoint has them, or in a GGUF file of some type.
//
// Threads: values and pure functions. Cost: a table look-up. Errors: an unknown name is nullopt.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "kvcache/base/element_type.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/gguf_mix.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {

using WeightFormat = std::variant<ElementType, QuantizedStorage, GgufMix>;

// "bf16", "int4", "gptq-g128", "nf4-dq", "q4_k_m". "fp8" is the engine's: one scale a matrix.
std::string NameOf(const WeightFormat& format);
std::optional<WeightFormat> WeightFormatFromName(std::string_view name);
// All of the names, for help and errors: "fp32, tf32, ..., gptq-gN, ..."
std::string WeightFormatNames();

// The engine's type of the same width: what buffers for such weights are counted by.
ElementType WidthOf(const WeightFormat& format);

// How the checkpoint of `model` is stored.
WeightFormat StoredFormatOf(const ModelConfig& model);

struct WeightBytes {
  Bytes total;          // as stored, and what a plan charges
  Bytes resident;       // on a GPU whose kernels lay quantised matrices out anew; never more
  std::string formula;  // "8030261248 parameters x 2 bytes"
};
// All of a model; without a format, as its checkpoint stores it. weight_layout.h has the parts.
WeightBytes WeightBytesOf(const ModelConfig& model, const std::optional<WeightFormat>& format);

}  // namespace plimsoll
