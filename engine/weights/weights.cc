#include "engine/weights/weights.h"

#include <utility>

#include "engine/weights/checkpoint.h"
#include "engine/weights/tensor_names.h"
#include "engine/weights/tensor_source.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kAlignment = 64;  // a cache line, and the widest vector

// What one tensor is and where it goes in the slab.
struct Placed {
  TensorSource source;
  Bytes data, scales;  // offsets
};

// The tensors of a model, one behind the other.
class Layout {
 public:
  absl::Status Add(const Checkpoint& checkpoint, const ModelConfig& model,
                   const std::optional<ElementType>& quantised);

  const std::map<std::string, Placed>& placed() const { return placed_; }
  Bytes tensor_bytes() const { return tensor_bytes_; }
  Bytes slab_bytes() const { return slab_bytes_; }

 private:
  Bytes Reserve(Bytes bytes) {
    const Bytes offset = slab_bytes_;
    tensor_bytes_ += bytes;
    slab_bytes_ += Bytes(CeilDivide(bytes.value(), kAlignment) * kAlignment);
    return offset;
  }

  std::map<std::string, Placed> placed_;
  Bytes tensor_bytes_;
  Bytes slab_bytes_;
};

absl::Status Layout::Add(const Checkpoint& checkpoint, const ModelConfig& model,
                         const std::optional<ElementType>& quantised) {
  absl::Status status;
  ForEachTensor(model, [&](const std::string& name, const TensorSpec& spec) {
    absl::StatusOr<TensorSource> source = FindTensor(checkpoint, model, name, spec, quantised);
    if (!source.ok()) {
      status = Annotate(Annotate(source.status(), "tensor " + name), checkpoint.path());
      return false;
    }
    const Bytes data = Reserve(source->DataBytes());
    const Bytes scales = Reserve(source->ScaleBytes());
    placed_.emplace(name, Placed{*std::move(source), data, scales});
    return true;
  });
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Weights>> Weights::Load(
    const std::string& folder, const ModelConfig& model,
    const std::optional<ElementType>& quantised) {
  const absl::StatusOr<Checkpoint> checkpoint = Checkpoint::Open(folder);
  if (!checkpoint.ok()) return checkpoint.status();
  Layout layout;
  PLIMSOLL_RETURN_IF_ERROR(layout.Add(*checkpoint, model, quantised));
  absl::StatusOr<DeviceSlab> slab = CpuBackend().Allocate(layout.slab_bytes());
  if (!slab.ok()) return Annotate(slab.status(), "weights");
  std::unique_ptr<Weights> weights(new Weights);
  weights->slab_ = *std::move(slab);
  weights->tensor_bytes_ = layout.tensor_bytes();
  std::byte* const base = weights->slab_.data();
  for (const auto& [name, placed] : layout.placed()) {
    std::byte* const data = base + placed.data.value();
    std::byte* const scales = base + placed.scales.value();
    PLIMSOLL_RETURN_IF_ERROR(FillTensor(*checkpoint, placed.source, data, scales));
    WeightView view = placed.source.resident;
    view.data = data;
    if (placed.source.ScaleBytes() > Bytes(0)) view.scales = scales;
    weights->views_.emplace(name, view);
  }
  return weights;
}

WeightView Weights::Find(const std::string& name) const {
  const auto found = views_.find(name);
  return found == views_.end() ? WeightView{} : found->second;
}

}  // namespace plimsoll
