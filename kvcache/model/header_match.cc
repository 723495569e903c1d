#include "kvcache/model/header_match.h"

#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/model/checkpoint_names.h"

namespace plimsoll {
namespace {

using Kind = HeaderDifference::Kind;

// One copy of a tensor of the model, and what the files hold of it.
struct Wanted {
  size_t tensor;     // in model.tensors
  size_t layer;      // in its layers; 0 where it has none
  int64_t elements;  // as the model counts them
  bool found = false;
};

void Replace(std::string& text, std::string_view what, int64_t number) {
  const size_t at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), std::to_string(number));
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t extent : shape) text += (text.empty() ? "" : ", ") + std::to_string(extent);
  return "[" + text + "]";
}

// Extents above 1, sorted: some checkpoints have matrices the other way round.
std::vector<int64_t> Extents(std::vector<int64_t> shape) {
  std::erase(shape, 1);
  std::sort(shape.begin(), shape.end());
  return shape;
}

void Count(const StoredTensor& tensor, StoredTotal& total) {
  ++total.tensors;
  total.elements += tensor.Elements();
  total.bytes += tensor.bytes;
}

class Match {
 public:
  Match(const StoredTensors& stored, ModelConfig& model) : stored_(stored), model_(model) {
    for (size_t i = 0; i < model.tensors.size(); ++i) AddWanted(i);
  }

  StoredCheckpoint Run(int64_t files);
  void SetStoredBytes();

 private:
  void AddWanted(size_t index);
  void AddCopies(size_t index, size_t layer, const std::string& name);
  void Place(const std::string& name, const StoredTensor& tensor);
  void PlaceWhole(const std::string& name, const StoredTensor& tensor, Wanted& wanted);
  void PlaceExtra(const std::string& name, const StoredTensor& tensor);
  void Load(const StoredTensor& tensor, const Wanted& wanted);
  void CheckShape(const std::string& name, const StoredTensor& tensor, const Wanted& wanted);
  void CheckType(const StoredTensor& tensor, const Wanted& wanted);
  void AddMissing();
  void LeaveOut(std::string_view part, const StoredTensor& tensor);
  // Counts into the difference of this kind and key; `what` is kept of the first.
  HeaderDifference& Differ(Kind kind, const std::string& key, const std::string& what);
  void Differ(Kind kind, const std::string& key, const std::string& what,
              const StoredTensor& tensor);

  const StoredTensors& stored_;
  ModelConfig& model_;
  StoredCheckpoint result_;
  std::unordered_map<std::string, Wanted> wanted_;  // by name without its lead
  std::vector<std::vector<int64_t>> bytes_;         // of each tensor, by layer
  std::map<std::pair<Kind, std::string>, HeaderDifference> differences_;
};

void Match::AddWanted(size_t index) {
  const TensorSpec& tensor = model_.tensors[index];
  bytes_.emplace_back(std::max<size_t>(tensor.layers.size(), 1), 0);
  const std::string name(WithoutLead(tensor.name));
  if (tensor.layers.empty()) return AddCopies(index, 0, name);
  for (size_t i = 0; i < tensor.layers.size(); ++i) {
    std::string of_layer = name;
    Replace(of_layer, "{layer}", tensor.layers[i]);
    AddCopies(index, i, of_layer);
  }
}

// Experts are stored one by one where the name has a place for their number, else as one tensor.
void Match::AddCopies(size_t index, size_t layer, const std::string& name) {
  const TensorSpec& tensor = model_.tensors[index];
  const bool apart = name.find("{expert}") != std::string::npos;
  const int64_t copies = apart ? tensor.experts : 1;
  const int64_t each = tensor.ElementsOfOne() * (apart ? 1 : tensor.experts);
  for (int64_t i = 0; i < copies; ++i) {
    std::string copy = name;
    Replace(copy, "{expert}", i);
    wanted_.emplace(std::move(copy), Wanted{.tensor = index, .layer = layer, .elements = each});
  }
}

HeaderDifference& Match::Differ(Kind kind, const std::string& key, const std::string& what) {
  const auto [place, added] = differences_.try_emplace({kind, key});
  if (added) place->second = HeaderDifference{.kind = kind, .what = what};
  return place->second;
}

void Match::Differ(Kind kind, const std::string& key, const std::string& what,
                   const StoredTensor& tensor) {
  HeaderDifference& difference = Differ(kind, key, what);
  ++difference.tensors;
  difference.elements += tensor.Elements();
  difference.bytes += tensor.bytes;
}

void Match::Load(const StoredTensor& tensor, const Wanted& wanted) {
  Count(tensor, result_.loaded);
  bytes_[wanted.tensor][wanted.layer] += tensor.bytes.value();
}

void Match::CheckShape(const std::string& name, const StoredTensor& tensor, const Wanted& wanted) {
  const TensorSpec& spec = model_.tensors[wanted.tensor];
  std::vector<int64_t> shape = spec.shape;
  if (wanted.elements != spec.ElementsOfOne()) shape.insert(shape.begin(), spec.experts);
  if (Extents(shape) == Extents(tensor.shape)) return;
  Differ(Kind::kOtherShape, spec.name,
         Excerpt(name) + ": " + ShapeText(tensor.shape) + " and not " + ShapeText(shape), tensor);
}

// Of checkpoints that are not quantised; in others types differ by design.
void Match::CheckType(const StoredTensor& tensor, const Wanted& wanted) {
  const ElementType type = model_.tensors[wanted.tensor].stored_as.value_or(model_.dtype);
  if (model_.quantization || BitsOf(type) < 16 || tensor.dtype == DtypeOf(type)) return;
  const std::string what = tensor.dtype + " and not " + std::string(DtypeOf(type));
  Differ(Kind::kOtherType, what, what, tensor);
}

// Numbers packed several to an element have neither the shape nor the count of the matrix.
bool IsPacked(const StoredTensor& tensor, const ModelConfig& model) {
  return model.quantization &&
         (tensor.dtype == "U8" || tensor.dtype == "I32" || tensor.dtype == "F4");
}

void Match::PlaceWhole(const std::string& name, const StoredTensor& tensor, Wanted& wanted) {
  if (wanted.found) return Differ(Kind::kUnexpected, WithoutNumbers(name), Excerpt(name), tensor);
  wanted.found = true;
  Load(tensor, wanted);
  result_.parameters += IsPacked(tensor, model_) ? wanted.elements : tensor.Elements();
  if (IsPacked(tensor, model_)) return;
  CheckShape(name, tensor, wanted);
  CheckType(tensor, wanted);
}

void Match::Place(const std::string& name, const StoredTensor& tensor) {
  const std::string short_name(WithoutLead(name));
  const auto whole = wanted_.find(short_name);
  if (whole != wanted_.end()) return PlaceWhole(name, tensor, whole->second);
  const std::optional<MatrixPart> part = PartOf(short_name);
  const auto owner = part ? wanted_.find(part->of) : wanted_.end();
  if (owner == wanted_.end()) return PlaceExtra(name, tensor);
  Load(tensor, owner->second);
  if (!part->packed || owner->second.found) return;
  owner->second.found = true;
  result_.parameters += owner->second.elements;
  if (!model_.quantization) {
    Differ(Kind::kOtherType, "packed", "packed numbers, of which config.json says nothing", tensor);
  }
}

void Match::LeaveOut(std::string_view part, const StoredTensor& tensor) {
  Differ(Kind::kLeftOut, std::string(part), std::string(part), tensor);
}

void Match::PlaceExtra(const std::string& name, const StoredTensor& tensor) {
  const std::string_view short_name = WithoutLead(name);
  const bool is_head = short_name == "lm_head.weight" || short_name == "output.weight" ||
                       short_name == "embed_out.weight";
  if (is_head && model_.tied_embeddings) {
    return Differ(Kind::kStoredTwice, name, Excerpt(name), tensor);
  }
  if (const auto part = KnownExtra(short_name, model_.layers)) return LeaveOut(*part, tensor);
  Differ(Kind::kUnexpected, WithoutNumbers(name), Excerpt(name), tensor);
}

void Match::AddMissing() {
  for (const auto& [name, wanted] : wanted_) {
    if (wanted.found) continue;
    const std::string& spec = model_.tensors[wanted.tensor].name;
    HeaderDifference& difference = Differ(Kind::kMissing, spec, spec);
    ++difference.tensors;
    difference.elements += wanted.elements;
  }
}

StoredCheckpoint Match::Run(int64_t files) {
  result_.format = "safetensors";
  result_.files = files;
  result_.expected_parameters = model_.Parameters();
  std::map<std::string, StoredTotal> types;
  for (const auto& [name, tensor] : stored_) {
    Place(name, tensor);
    Count(tensor, result_.all);
    StoredTotal& type = types[tensor.dtype];
    type.name = tensor.dtype;
    Count(tensor, type);
  }
  AddMissing();
  for (auto& [name, total] : types) result_.by_type.push_back(std::move(total));
  for (auto& [key, each] : differences_) result_.differences.push_back(std::move(each));
  return std::move(result_);
}

// Layers of equal bytes stay together; the first such layers keep the tensor's place.
void Match::SetStoredBytes() {
  const size_t count = model_.tensors.size();
  for (size_t i = 0; i < count; ++i) {
    std::map<int64_t, std::vector<int32_t>> groups;  // by bytes of a layer
    const std::vector<int32_t> layers = model_.tensors[i].layers;
    for (size_t k = 0; k < layers.size(); ++k) groups[bytes_[i][k]].push_back(layers[k]);
    model_.tensors[i].stored_bytes = Bytes(bytes_[i][0]);
    size_t place = i;
    for (auto& [bytes, group] : groups) {
      if (place != i) model_.tensors.push_back(model_.tensors[i]);
      TensorSpec& tensor = place == i ? model_.tensors[i] : model_.tensors.back();
      tensor.stored_bytes = Bytes(bytes) * std::ssize(group);
      tensor.layers = std::move(group);
      place = model_.tensors.size();
    }
  }
}

// What the headers measured replaces what the configuration told, or did not tell.
void NameLeftOut(ModelConfig& model) {
  for (const HeaderDifference& each : model.headers->differences) {
    if (each.kind != Kind::kLeftOut) continue;
    const auto known = std::find_if(model.left_out.begin(), model.left_out.end(),
                                    [&](const LeftOut& left) { return left.part == each.what; });
    if (known == model.left_out.end()) {
      model.left_out.push_back({.part = each.what, .elements = each.elements});
    } else {
      known->elements = each.elements;
    }
  }
}

}  // namespace

void MatchHeaders(const StoredTensors& stored, int64_t files, ModelConfig& model) {
  Match match(stored, model);
  StoredCheckpoint headers = match.Run(files);
  match.SetStoredBytes();
  model.headers = std::move(headers);
  NameLeftOut(model);
}

}  // namespace plimsoll
