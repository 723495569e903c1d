// The bytes of a model's tensors, or of any part of them, in one format.
//
// A deployment holds parts: a shard of each tensor on each of some layers. What parts take is added
// up in a WeightSum, which tells the quantised from the rest and spells out its formula.
//
// Modules that a quantised checkpoint excepts keep the model's own type; what the engine's own
// quantised layouts leave alone has 2 bytes an element.
//
// Threads: a const layout is safe to share. Cost: O(exceptions) a tensor, in GGUF mixes O(layers).
// Errors: none; a ModelConfig is bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "kvcache/base/units.h"
#include "kvcache/model/model_config.h"
#include "kvcache/sizing/gguf_mix.h"
#include "kvcache/sizing/weight_format.h"

namespace plimsoll {

struct WeightSum {
  int64_t quantised_elements = 0;
  Bytes quantised;  // with scales
  Bytes scales;     // of those, only where the engine's layouts have them
  int64_t other_elements = 0;
  Bytes others;
  // The quantised on a GPU whose kernels lay them out anew.
  Bytes quantised_resident;

  Bytes total() const { return quantised + others; }
  Bytes resident() const { return quantised_resident + others; }
};

// A part of a tensor: `shape` of each copy, on some of its layers, of some of its experts.
struct TensorPart {
  std::span<const int64_t> shape;
  std::span<const int32_t> layers;  // of a tensor that belongs to no layer: empty
  int64_t experts = 1;

  static TensorPart Whole(const TensorSpec& tensor);
};

class WeightLayout {
 public:
  // Without a format, weights are as the checkpoint stores them: as its files' headers say, where
  // those were read. `model` outlives the layout.
  WeightLayout(const ModelConfig& model, const std::optional<WeightFormat>& format);

  void Add(const TensorSpec& tensor, const TensorPart& part, WeightSum& sum) const;
  WeightSum Whole() const;  // all of the model

  // "8030261248 parameters x 2 bytes"
  std::string FormulaOf(const WeightSum& sum) const;
  std::string name() const;   // "bf16", "gptq-g128", "Q4_K_M"
  ElementType width() const;  // the engine's type of about that width

 private:
  void AddQuantised(const TensorSpec& tensor, const TensorPart& part, WeightSum& sum) const;
  void AddStored(const TensorSpec& tensor, const TensorPart& part, const QuantizedStorage& storage,
                 WeightSum& sum) const;

  const ModelConfig& model_;
  WeightFormat format_;
  bool from_headers_;
  std::optional<GgufLayout> gguf_;
};

}  // namespace plimsoll
