#include "engine/weights/tensor_source.h"

#include <algorithm>
#include <atomic>
#include <span>
#include <vector>

#include "engine/ops/cpu_threads.h"
#include "engine/ops/float16.h"
#include "engine/ops/weight_element.h"
#include "engine/weights/packed_source.h"
#include "engine/weights/quantise.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

constexpr int64_t kPieceBytes = int64_t{4} << 20;  // of the file, at least one row
constexpr ElementType kUnquantised = ElementType::kBf16;

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

WeightView ViewOf(const std::vector<int64_t>& shape, ElementType type) {
  WeightView view{.data = nullptr, .type = type, .rows = 1, .cols = 1};
  if (!shape.empty()) view.cols = shape.back();
  for (size_t i = 0; i + 1 < shape.size(); ++i) view.rows *= shape[i];
  return view;
}

// What the engine's own layouts make of a tensor.
void SetRounded(ElementType quantised, TensorRole role, WeightView& view) {
  if (!IsMatrix(role)) {
    if (BitsOf(view.type) > BitsOf(kUnquantised)) view.type = kUnquantised;
    return;
  }
  view.type = quantised;
  view.group = quantised == ElementType::kInt4 ? std::min(kInt4Group, view.cols) : view.cols;
}

// Converts rows one after the other; false for one that cannot be rounded.
class RowConverter {
 public:
  RowConverter(const TensorSource& source, std::byte* data, std::byte* scales)
      : source_(source), to_(source.resident), data_(data), scales_(scales) {
    row_.resize(static_cast<size_t>(to_.cols));
  }

  bool Convert(int64_t row, const std::byte* from) {
    for (int64_t i = 0; i < to_.cols; ++i) {
      row_[static_cast<size_t>(i)] = ReadElement(from, source_.stored, i);
    }
    std::byte* const out = data_ + row * RowBytesOf(to_);
    if (!IsFloatStorage(to_.type)) {
      const int64_t scale_bytes = ScaleBytesOf(to_) / to_.rows;
      return QuantiseRow(to_.type, to_.group, row_, out, scales_ + row * scale_bytes);
    }
    for (int64_t i = 0; i < to_.cols; ++i) {
      WriteElement(out, to_.type, i, row_[static_cast<size_t>(i)]);
    }
    return true;
  }

 private:
  const TensorSource& source_;
  const WeightView& to_;
  std::byte* const data_;
  std::byte* const scales_;
  std::vector<float> row_;
};

// Converts some rows on all threads; a row that cannot be is reported, the first of them.
absl::Status ConvertRows(const TensorSource& source, int64_t first, std::span<const std::byte> rows,
                         std::byte* data, std::byte* scales) {
  const int64_t row_bytes = BytesOf(source.stored, source.resident.cols).value();
  const int64_t count = std::ssize(rows) / row_bytes;
  std::atomic<int64_t> refused = count;
  CpuThreads().ParallelFor(count, CeilDivide(count, 64), [&](int64_t begin, int64_t end) {
    RowConverter converter(source, data, scales);
    for (int64_t i = begin; i < end; ++i) {
      if (converter.Convert(first + i, rows.data() + i * row_bytes)) continue;
      for (int64_t seen = refused; i < seen && !refused.compare_exchange_weak(seen, i);) continue;
    }
  });
  if (refused == count) return absl::OkStatus();
  return BadField("row", first + refused, "numbers that fp16 can scale");
}

}  // namespace

Bytes TensorSource::DataBytes() const { return Bytes(resident.rows * RowBytesOf(resident)); }

Bytes TensorSource::ScaleBytes() const {
  return IsFloatStorage(resident.type) ? Bytes(0) : Bytes(ScaleBytesOf(resident));
}

absl::StatusOr<TensorSource> FindTensor(const Checkpoint& checkpoint, const ModelConfig& model,
                                        const std::string& name, const TensorSpec& spec,
                                        const std::optional<ElementType>& quantised) {
  if (IsMatrix(spec.role) && IsInParts(checkpoint, name)) {
    return FindParts(checkpoint, model, name, spec);
  }
  const StoredTensor* const tensor = checkpoint.Find(name);
  PLIMSOLL_RETURN_IF_ERROR(CheckTensor(tensor, spec));
  const ElementType type = *ElementTypeOfDtype(tensor->dtype);
  TensorSource source{.name = name, .stored = type, .resident = ViewOf(tensor->shape, type)};
  if (quantised) SetRounded(*quantised, spec.role, source.resident);
  return source;
}

absl::Status FillTensor(const Checkpoint& checkpoint, const TensorSource& source, std::byte* data,
                        std::byte* scales) {
  const WeightView& to = source.resident;
  if (source.packing != Packing::kNone) {
    return Annotate(FillFromParts(checkpoint, source, data, scales), checkpoint.path());
  }
  if (source.stored == to.type) {
    return checkpoint.Read(source.name,
                           std::span(data, static_cast<size_t>(source.DataBytes().value())));
  }
  const int64_t row_bytes = BytesOf(source.stored, to.cols).value();
  const int64_t at_once =
      std::clamp(kPieceBytes / std::max<int64_t>(row_bytes, 1), int64_t{1}, to.rows);
  std::vector<std::byte> piece(static_cast<size_t>(at_once * row_bytes));
  for (int64_t row = 0; row < to.rows; row += at_once) {
    const int64_t rows = std::min(at_once, to.rows - row);
    const std::span<std::byte> part(piece.data(), static_cast<size_t>(rows * row_bytes));
    PLIMSOLL_RETURN_IF_ERROR(checkpoint.ReadPart(source.name, row * row_bytes, part));
    const absl::Status converted = ConvertRows(source, row, part, data, scales);
    if (!converted.ok()) {
      return Annotate(Annotate(converted, "tensor " + source.name), checkpoint.path());
    }
  }
  return absl::OkStatus();
}

}  // namespace plimsoll
