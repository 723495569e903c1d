#include "kvcache/sizing/weight_layout.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/sizing/untouched_modules.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

constexpr ElementType kUnquantised = ElementType::kBf16;

int64_t ElementsOfOne(const TensorPart& part) {
  int64_t elements = 1;
  for (const int64_t extent : part.shape) elements *= extent;
  return elements;
}

int64_t LayersOf(const TensorSpec& tensor, const TensorPart& part) {
  return tensor.layers.empty() ? 1 : std::ssize(part.layers);
}

int64_t Elements(const TensorSpec& tensor, const TensorPart& part) {
  return ElementsOfOne(part) * LayersOf(tensor, part) * part.experts;
}

// A share of what the files hold of a tensor, rounded up.
Bytes ShareOf(const TensorSpec& tensor, const TensorPart& part) {
  const auto stored = static_cast<__int128>(tensor.stored_bytes->value());
  const __int128 all = tensor.Elements();
  return Bytes(static_cast<int64_t>((stored * Elements(tensor, part) + all - 1) / all));
}

// The scale of each layer's K or V, stored beside the matrix that makes it.
int64_t KvScale(const TensorSpec& tensor, const QuantizedStorage& storage) {
  const std::string_view name = tensor.name;
  const bool makes_kv = name.ends_with(".k_proj.weight") || name.ends_with(".v_proj.weight");
  return makes_kv ? storage.kv_scale : 0;
}

std::string Times(int64_t count, ElementType type) {
  const int bits = BitsOf(type);
  return std::to_string(count) + " x " +
         (bits % 8 == 0 ? std::to_string(bits / 8) + " bytes" : std::to_string(bits) + " bits");
}

std::string Text(int64_t n) { return std::to_string(n); }

}  // namespace

TensorPart TensorPart::Whole(const TensorSpec& tensor) {
  return {.shape = tensor.shape, .layers = tensor.layers, .experts = tensor.experts};
}

WeightLayout::WeightLayout(const ModelConfig& model, const std::optional<WeightFormat>& format)
    : model_(model),
      format_(format ? *format : StoredFormatOf(model)),
      from_headers_(!format && model.headers) {
  if (const auto* const mix = std::get_if<GgufMix>(&format_)) gguf_.emplace(*mix, model);
}

void WeightLayout::AddQuantised(const TensorSpec& tensor, const TensorPart& part,
                                WeightSum& sum) const {
  const ElementType type = std::get<ElementType>(format_);
  if (!IsMatrix(tensor.role)) {
    sum.other_elements += Elements(tensor, part);
    sum.others += BytesOf(kUnquantised, Elements(tensor, part));
    return;
  }
  const int64_t copies = LayersOf(tensor, part) * part.experts;
  const Bytes bytes = MatrixBytes(type, part.shape[0], part.shape[1]) * copies;
  sum.quantised_elements += Elements(tensor, part);
  sum.quantised += bytes;
  sum.quantised_resident += bytes;
  sum.scales += ScaleBytes(type, part.shape[0], part.shape[1]) * copies;
}

void WeightLayout::AddStored(const TensorSpec& tensor, const TensorPart& part,
                             const QuantizedStorage& storage, WeightSum& sum) const {
  const ElementType own = tensor.stored_as.value_or(model_.dtype);
  if (!IsStoredQuantised(tensor, storage)) {
    sum.other_elements += Elements(tensor, part);
    sum.others += BytesOf(own, Elements(tensor, part));
    return;
  }
  const auto add_own = [&](int64_t layers) {
    const int64_t elements = ElementsOfOne(part) * layers * part.experts;
    sum.other_elements += elements;
    sum.others += BytesOf(own, elements);
  };
  const auto add = [&](const QuantizedStorage& format, int64_t layers) {
    const int64_t copies = layers * part.experts;
    sum.quantised_elements += ElementsOfOne(part) * copies;
    sum.quantised += StoredMatrixBytes(format, part.shape[0], part.shape[1]) * copies;
    sum.quantised_resident += ResidentMatrixBytes(format, part.shape[0], part.shape[1]) * copies;
  };
  std::vector<int32_t> layers(part.layers.begin(), part.layers.end());
  if (tensor.layers.empty()) layers = {kNoLayer};
  const Bytes kv_scales(KvScale(tensor, storage) * std::ssize(layers));
  sum.quantised += kv_scales;
  sum.quantised_resident += kv_scales;
  add_own(TakeNamed(tensor, storage.untouched, layers));
  for (const QuantizedStorage& format : storage.apart) {
    add(format, TakeNamed(tensor, format.modules, layers));
  }
  storage.rest ? add(storage, std::ssize(layers)) : add_own(std::ssize(layers));
}

void WeightLayout::Add(const TensorSpec& tensor, const TensorPart& part, WeightSum& sum) const {
  PLIMSOLL_CHECK(part.shape.size() == tensor.shape.size(), std::ssize(part.shape));
  const auto* const storage = std::get_if<QuantizedStorage>(&format_);
  const auto* const type = std::get_if<ElementType>(&format_);
  if (from_headers_ && tensor.stored_bytes) {
    sum.other_elements += Elements(tensor, part);
    sum.others += ShareOf(tensor, part);
  } else if (gguf_) {
    const Bytes bytes = gguf_->BytesOf(tensor, part.shape, part.layers) * part.experts;
    const bool wide = gguf_->TypeOf(tensor, 0).block_elements == 1;
    (wide ? sum.other_elements : sum.quantised_elements) += Elements(tensor, part);
    (wide ? sum.others : sum.quantised) += bytes;
    if (!wide) sum.quantised_resident += bytes;
  } else if (storage != nullptr) {
    AddStored(tensor, part, *storage, sum);
  } else if (IsQuantised(*type)) {
    AddQuantised(tensor, part, sum);
  } else {
    sum.other_elements += Elements(tensor, part);
    sum.others += BytesOf(*type, Elements(tensor, part));
  }
}

WeightSum WeightLayout::Whole() const {
  WeightSum sum;
  for (const TensorSpec& tensor : model_.tensors) Add(tensor, TensorPart::Whole(tensor), sum);
  return sum;
}

std::string WeightLayout::FormulaOf(const WeightSum& sum) const {
  const auto* const type = std::get_if<ElementType>(&format_);
  if (from_headers_) {
    return Text(sum.other_elements) + " parameters as the files hold them, scales included";
  }
  if (type != nullptr && !IsQuantised(*type)) {
    return Text(sum.other_elements) + " parameters x " + Text(BitsOf(*type) / 8) + " bytes";
  }
  if (type != nullptr) {
    return Times(sum.quantised_elements, *type) + " + " + Text(sum.scales.value()) +
           " bytes of scales + " + Times(sum.other_elements, kUnquantised);
  }
  return Text(sum.quantised_elements) + " elements as " + name() + ", " +
         Text(sum.quantised.value()) + " bytes with scales, + " + Text(sum.other_elements) +
         " others, " + Text(sum.others.value()) + " bytes";
}

std::string WeightLayout::name() const {
  if (from_headers_ && !model_.headers->stored_as.empty()) return model_.headers->stored_as;
  return NameOf(format_);
}

ElementType WeightLayout::width() const {
  if (from_headers_ && model_.headers->width) return *model_.headers->width;
  return WidthOf(format_);
}

WeightBytes WeightBytesOf(const ModelConfig& model, const std::optional<WeightFormat>& format) {
  const WeightLayout layout(model, format);
  const WeightSum sum = layout.Whole();
  return {.total = sum.total(), .resident = sum.resident(), .formula = layout.FormulaOf(sum)};
}

}  // namespace plimsoll
