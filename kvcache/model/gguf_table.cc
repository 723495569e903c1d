#include "kvcache/model/gguf_table.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/gguf_split.h"

namespace plimsoll {
namespace {

constexpr std::string_view kBlock = "blk.";
constexpr std::string_view kEmbedding = "token_embd.weight";
constexpr int64_t kOutside = -1;

struct Place {
  int64_t block;  // kOutside where the name has none
  std::string_view name;
};

// "blk.3.attn_k.weight" is attn_k.weight of block 3; nullopt for a number that is none.
std::optional<Place> PlaceOf(std::string_view name) {
  if (!name.starts_with(kBlock)) return Place{kOutside, name};
  const char* const first = name.data() + kBlock.size();
  const char* const last = name.data() + name.size();
  int64_t block = 0;
  const auto [end, error] = std::from_chars(first, last, block);
  if (error != std::errc() || block < 0 || end == last || *end != '.') return std::nullopt;
  return Place{block, std::string_view(end + 1, static_cast<size_t>(last - end - 1))};
}

bool EndsWithExperts(std::string_view name) {
  return name.find("_exps.") != std::string_view::npos;
}

TensorRole RoleOf(std::string_view name, const std::vector<int64_t>& shape) {
  if (name.ends_with(".bias")) return TensorRole::kBias;
  if (name == kEmbedding || name == "position_embd.weight") return TensorRole::kEmbedding;
  if (name == "output.weight") return TensorRole::kHead;
  if (name.find("norm") != std::string_view::npos) return TensorRole::kNorm;
  if (name.starts_with("ffn_gate_inp")) return TensorRole::kRouter;
  if (!name.ends_with(".weight")) return TensorRole::kSmall;
  if (EndsWithExperts(name)) {
    return shape.size() == 3 ? TensorRole::kExpert : TensorRole::kSmall;
  }
  const bool small = name.starts_with("ssm_conv") || name.starts_with("rope_");
  return shape.size() == 2 && !small ? TensorRole::kLinear : TensorRole::kSmall;
}

// One tensor, without layers.
TensorSpec SpecOf(std::string_view name, const GgufTensor& tensor, int64_t active) {
  TensorSpec spec{.name = std::string(name),
                  .role = RoleOf(name, tensor.shape),
                  .shape = tensor.shape,
                  .stored_bytes = Bytes(0),
                  .after_layers = name.starts_with("output")};
  if (spec.shape.empty()) spec.shape = {1};  // a number by itself
  if (EndsWithExperts(name) && tensor.shape.size() >= 2) {
    spec.experts = tensor.shape[0];
    spec.active_experts = std::min(active, spec.experts);
    spec.shape.erase(spec.shape.begin());
  }
  return spec;
}

// Null for a layer without attention, and outside of layers.
const AttentionSpec* HeadsOf(int64_t block, const ModelConfig& model) {
  const auto found = std::find_if(model.attention.begin(), model.attention.end(),
                                  [&](const AttentionSpec& heads) { return heads.layer == block; });
  return found == model.attention.end() || block == kOutside ? nullptr : &*found;
}

void Count(const GgufTensor& tensor, StoredTotal& total) {
  ++total.tensors;
  total.elements += tensor.elements;
  total.bytes += tensor.bytes;
}

// What all that is loaded makes, and each type of it.
class Totals {
 public:
  explicit Totals(StoredCheckpoint& checkpoint) : checkpoint_(checkpoint) {}

  void Add(const GgufTensor& tensor, bool loaded) {
    const std::string type(tensor.type->name);
    Count(tensor, types_.try_emplace(type, StoredTotal{.name = type}).first->second);
    Count(tensor, checkpoint_.all);
    if (loaded) Count(tensor, checkpoint_.loaded);
  }
  void Finish() {
    for (auto& [name, total] : types_) checkpoint_.by_type.push_back(std::move(total));
    checkpoint_.parameters = checkpoint_.loaded.elements;
    checkpoint_.expected_parameters = checkpoint_.parameters;  // there is no other source
  }

 private:
  StoredCheckpoint& checkpoint_;
  std::map<std::string, StoredTotal> types_;
};

}  // namespace

absl::StatusOr<GgufTable> GgufTable::Of(const GgufHeader& header, int64_t blocks) {
  GgufTable table;
  table.header_ = &header;
  table.blocks_.resize(static_cast<size_t>(blocks));
  for (const GgufTensor& tensor : header.tensors) {
    const std::optional<Place> place = PlaceOf(tensor.name);
    if (!place || place->block >= blocks) {
      return absl::InvalidArgumentError("tensor " + Excerpt(tensor.name) + ": want a block below " +
                                        std::to_string(blocks) + ", the number of blocks");
    }
    Names& names = place->block == kOutside ? table.outside_
                                            : table.blocks_[static_cast<size_t>(place->block)];
    names.emplace(place->name, &tensor);
  }
  return table;
}

const GgufTensor* GgufTable::Find(std::string_view name) const {
  const auto found = outside_.find(name);
  return found == outside_.end() ? nullptr : found->second;
}

const GgufTensor* GgufTable::FindIn(int64_t block, std::string_view name) const {
  const Names& names = blocks_[static_cast<size_t>(block)];
  const auto found = names.find(name);
  return found == names.end() ? nullptr : found->second;
}

void GgufTable::AddTo(int64_t layers, int64_t active, ModelConfig& model) const {
  StoredCheckpoint& headers = model.headers.emplace();
  headers.format = "GGUF";
  headers.files = header_->files;
  Totals totals(headers);
  using Family = std::tuple<std::string_view, const GgufType*, std::vector<int64_t>>;
  std::map<Family, size_t> families;  // where in model.tensors
  const auto add = [&](std::string_view name, int64_t block, const GgufTensor& tensor) {
    totals.Add(tensor, /*loaded=*/true);
    const auto [place, added] =
        families.try_emplace({name, tensor.type, tensor.shape}, model.tensors.size());
    if (added) {
      model.tensors.push_back(SpecOf(name, tensor, active));
      SplitGgufTensor(name, HeadsOf(block, model), model.tensors.back());
      if (block != kOutside) model.tensors.back().name.insert(0, "blk.{layer}.");
    }
    TensorSpec& spec = model.tensors[place->second];
    if (block != kOutside) spec.layers.push_back(static_cast<int32_t>(block));
    *spec.stored_bytes += tensor.bytes;
  };
  // The embedding of the tokens comes first: a stage that shares it with the head looks for it so.
  if (const GgufTensor* const embedding = Find(kEmbedding)) add(kEmbedding, kOutside, *embedding);
  for (const auto& [name, tensor] : outside_) {
    if (name != kEmbedding) add(name, kOutside, *tensor);
  }
  HeaderDifference prediction{.kind = HeaderDifference::Kind::kLeftOut, .what = "prediction block"};
  for (int64_t block = 0; block < std::ssize(blocks_); ++block) {
    for (const auto& [name, tensor] : blocks_[static_cast<size_t>(block)]) {
      if (block < layers) {
        add(name, block, *tensor);
        continue;
      }
      totals.Add(*tensor, /*loaded=*/false);
      ++prediction.tensors;
      prediction.elements += tensor->elements;
      prediction.bytes += tensor->bytes;
    }
  }
  totals.Finish();
  if (prediction.tensors == 0) return;
  model.left_out.push_back({.part = prediction.what, .elements = prediction.elements});
  headers.differences.push_back(std::move(prediction));
}

}  // namespace plimsoll
