#include "engine/weights/weights.h"

#include <span>
#include <utility>
#include <vector>

#include "engine/weights/checkpoint.h"
#include "engine/weights/tensor_names.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kAlignment = 64;  // a cache line, and the widest vector

std::string Shown(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t extent : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  }
  return text + "]";
}

absl::Status CheckTensor(const StoredTensor* tensor, const TensorSpec& spec) {
  if (tensor == nullptr) return absl::InvalidArgumentError("missing");
  if (tensor->shape != spec.shape) {
    return BadField("shape", Shown(tensor->shape), Shown(spec.shape) + ", as config.json says");
  }
  if (!ElementTypeOfDtype(tensor->dtype)) {
    return BadField("dtype", tensor->dtype, "F32, F16 or BF16");
  }
  return absl::OkStatus();
}

WeightView ViewOf(const StoredTensor& tensor) {
  WeightView view{.data = nullptr, .type = *ElementTypeOfDtype(tensor.dtype), .rows = 1, .cols = 1};
  if (!tensor.shape.empty()) view.cols = tensor.shape.back();
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) view.rows *= tensor.shape[i];
  return view;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Weights>> Weights::Load(const std::string& folder,
                                                       const ModelConfig& model) {
  const absl::StatusOr<Checkpoint> checkpoint = Checkpoint::Open(folder);
  if (!checkpoint.ok()) return checkpoint.status();
  std::unique_ptr<Weights> weights(new Weights);
  PLIMSOLL_RETURN_IF_ERROR(weights->Place(*checkpoint, model));
  absl::StatusOr<Slab> slab = Slab::Create(weights->placed_bytes_);
  if (!slab.ok()) return Annotate(slab.status(), "weights");
  weights->slab_ = *std::move(slab);
  PLIMSOLL_RETURN_IF_ERROR(weights->Fill(*checkpoint));
  return weights;
}

absl::Status Weights::Place(const Checkpoint& checkpoint, const ModelConfig& model) {
  absl::Status status;
  ForEachTensor(model, [&](const std::string& name, const TensorSpec& spec) {
    const StoredTensor* const tensor = checkpoint.Find(name);
    status = CheckTensor(tensor, spec);
    if (!status.ok()) {
      status = Annotate(Annotate(status, "tensor " + name), checkpoint.path());
      return false;
    }
    offsets_.emplace(name, placed_bytes_);
    views_.emplace(name, ViewOf(*tensor));
    tensor_bytes_ += tensor->bytes;
    placed_bytes_ += Bytes(CeilDivide(tensor->bytes.value(), kAlignment) * kAlignment);
    return true;
  });
  return status;
}

absl::Status Weights::Fill(const Checkpoint& checkpoint) {
  for (auto& [name, view] : views_) {
    std::byte* const data = slab_.data() + offsets_.at(name).value();
    const size_t bytes = static_cast<size_t>(checkpoint.Find(name)->bytes.value());
    PLIMSOLL_RETURN_IF_ERROR(checkpoint.Read(name, std::span(data, bytes)));
    view.data = data;
  }
  return absl::OkStatus();
}

WeightView Weights::Find(const std::string& name) const {
  const auto found = views_.find(name);
  return found == views_.end() ? WeightView{} : found->second;
}

}  // namespace plimsoll
