#include "engine/weights/packed_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include "engine/ops/cpu_threads.h"
#include "engine/ops/float16.h"
#include "engine/ops/weight_element.h"
#include "kvcache/base/errors.h"
#include "kvcache/model/module_patterns.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

constexpr int64_t kPieceBytes = int64_t{4} << 20;  // of the file, at least one row

using Shape = std::vector<int64_t>;

std::string StemOf(const std::string& name) {
  constexpr std::string_view kEnding = ".weight";
  return name.ends_with(kEnding) ? name.substr(0, name.size() - kEnding.size()) : name;
}

std::string Shown(const Shape& shape) {
  std::string text = "[";
  for (const int64_t extent : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  }
  return text + "]";
}

// The part is there with this shape and, where a type is named, of it; else of any float type.
absl::Status CheckPart(const Checkpoint& checkpoint, const std::string& part, const Shape& shape,
                       std::string_view dtype) {
  const StoredTensor* const tensor = checkpoint.Find(part);
  if (tensor == nullptr) return absl::InvalidArgumentError(part + ": missing");
  if (tensor->shape != shape) {
    return Annotate(BadField("shape", Shown(tensor->shape), Shown(shape)), part);
  }
  if (dtype.empty() && !ElementTypeOfDtype(tensor->dtype)) {
    return Annotate(BadField("dtype", tensor->dtype, "F32, F16 or BF16"), part);
  }
  if (!dtype.empty() && tensor->dtype != dtype) {
    return Annotate(BadField("dtype", tensor->dtype, dtype), part);
  }
  return absl::OkStatus();
}

// The columns of a group, where a row has this many groups; 0 where no group fits.
int64_t GroupFor(int64_t cols, int64_t groups) {
  if (groups == 1) return cols;
  for (int64_t group = 32; group < cols; group *= 2) {
    if (CeilDivide(cols, group) == groups && IsWeightGroup(group, cols)) return group;
  }
  return 0;
}

absl::StatusOr<std::vector<std::byte>> ReadWhole(const Checkpoint& checkpoint,
                                                 const std::string& part) {
  std::vector<std::byte> bytes(static_cast<size_t>(checkpoint.Find(part)->bytes.value()));
  PLIMSOLL_RETURN_IF_ERROR(checkpoint.Read(part, bytes));
  return bytes;
}

uint32_t WordAt(std::span<const std::byte> words, int64_t index) {
  uint32_t word = 0;
  std::memcpy(&word, words.data() + index * 4, sizeof(word));
  return word;
}

int NibbleOf(uint32_t word, int64_t place) { return static_cast<int>(word >> place * 4 & 15); }

// The place in an awq word of output 8 j + k, by k.
constexpr int64_t kAwqPlace[] = {0, 4, 1, 5, 2, 6, 3, 7};

// Calls `take(first row, rows)` for the rows of a two-dimensional part, a piece at a time.
absl::Status ForEachPiece(const Checkpoint& checkpoint, const std::string& part,
                          const std::function<void(int64_t, std::span<const std::byte>)>& take) {
  const StoredTensor& tensor = *checkpoint.Find(part);
  const int64_t row_bytes = tensor.bytes.value() / tensor.shape[0];
  // A multiple of 8 rows, so that what goes into one word comes together.
  const int64_t at_once = std::max<int64_t>(kPieceBytes / row_bytes / 8, 1) * 8;
  std::vector<std::byte> piece;
  for (int64_t row = 0; row < tensor.shape[0]; row += at_once) {
    piece.resize(static_cast<size_t>(std::min(at_once, tensor.shape[0] - row) * row_bytes));
    PLIMSOLL_RETURN_IF_ERROR(checkpoint.ReadPart(part, row * row_bytes, piece));
    take(row, piece);
  }
  return absl::OkStatus();
}

// Rows of words are rows of bytes: the low bits come first in both.
absl::Status FillRows(const Checkpoint& checkpoint, const TensorSource& source, std::byte* data) {
  const WeightView& to = source.resident;
  const bool int8 = to.type == ElementType::kInt8;
  const int64_t from_bytes = CeilDivide(to.cols, int8 ? 4 : 8) * 4;
  const int64_t to_bytes = RowBytesOf(to);
  return ForEachPiece(checkpoint, source.name + ".weight_packed",
                      [&](int64_t first, std::span<const std::byte> rows) {
                        for (int64_t i = 0; i < std::ssize(rows) / from_bytes; ++i) {
                          std::byte* const out = data + (first + i) * to_bytes;
                          std::copy_n(rows.data() + i * from_bytes, to_bytes, out);
                          if (!int8 && to.cols % 2 == 1) out[to_bytes - 1] &= std::byte{15};
                          if (!int8) continue;
                          for (int64_t k = 0; k < to_bytes; ++k)
                            out[k] ^= std::byte{0x80};  // less 128
                        }
                      });
}

// Words of 8 inputs of one output, which are those of the engine, by another order.
absl::Status FillGptq(const Checkpoint& checkpoint, const TensorSource& source, std::byte* data) {
  const WeightView& to = source.resident;
  const int64_t stride = RowBytesOf(to);
  return ForEachPiece(checkpoint, source.name + ".qweight",
                      [&](int64_t first, std::span<const std::byte> words) {
                        const int64_t rows = std::ssize(words) / 4 / to.rows;
                        CpuThreads().ParallelFor(to.rows, 64, [&](int64_t begin, int64_t end) {
                          for (int64_t n = begin; n < end; ++n) {
                            for (int64_t i = 0; i < rows; ++i) {
                              std::memcpy(data + n * stride + (first + i) * 4,
                                          words.data() + (i * to.rows + n) * 4, 4);
                            }
                          }
                        });
                      });
}

absl::Status FillAwq(const Checkpoint& checkpoint, const TensorSource& source, std::byte* data) {
  const WeightView& to = source.resident;
  const int64_t stride = RowBytesOf(to);
  const int64_t width = to.rows / 8;  // words of one input
  return ForEachPiece(
      checkpoint, source.name + ".qweight", [&](int64_t first, std::span<const std::byte> words) {
        const int64_t pairs = std::ssize(words) / 4 / width / 2;
        CpuThreads().ParallelFor(to.rows, 64, [&](int64_t begin, int64_t end) {
          for (int64_t n = begin; n < end; ++n) {
            for (int64_t i = 0; i < pairs; ++i) {
              const auto number = [&](int64_t input) {
                return NibbleOf(WordAt(words, input * width + n / 8), kAwqPlace[n % 8]);
              };
              data[n * stride + first / 2 + i] =
                  static_cast<std::byte>(number(2 * i) | number(2 * i + 1) << 4);
            }
          }
        });
      });
}

// The scale, and the zero, of each row and group.
struct Scaling {
  std::vector<std::byte> scales;
  ElementType scale_type = ElementType::kFp16;
  std::vector<std::byte> zeros = {};  // empty: all the same
};

int ZeroAt(const TensorSource& source, const Scaling& from, int64_t row, int64_t group) {
  const int64_t groups = GroupsOf(source.resident);
  if (source.packing == Packing::kRows) {
    if (from.zeros.empty()) return 8;
    return NibbleOf(WordAt(from.zeros, row / 8 * groups + group), row % 8);
  }
  const uint32_t word = WordAt(from.zeros, group * (source.resident.rows / 8) + row / 8);
  if (source.packing == Packing::kAwq) return NibbleOf(word, kAwqPlace[row % 8]);
  return NibbleOf(word, row % 8) + (source.zeros_less_one ? 1 : 0);
}

absl::Status WriteScales(const TensorSource& source, const Scaling& from, std::byte* out) {
  const WeightView& to = source.resident;
  const int64_t groups = GroupsOf(to);
  for (int64_t row = 0; row < to.rows; ++row) {
    for (int64_t g = 0; g < groups; ++g) {
      const bool by_row = source.packing == Packing::kRows;
      const int64_t at = by_row ? row * groups + g : g * to.rows + row;
      const float scale =
          FloatFromFp16(Fp16FromFloat(ReadElement(from.scales.data(), from.scale_type, at)));
      if (!std::isfinite(scale)) return BadField("scale of row", row, "a number that fp16 has");
      const int64_t word = row * groups + g;
      if (to.type == ElementType::kInt8) {
        WriteElement(out, ElementType::kFp16, word, scale);
        continue;
      }
      WriteElement(out, ElementType::kFp16, 2 * word, scale);
      WriteElement(out, ElementType::kFp16, 2 * word + 1,
                   static_cast<float>(ZeroAt(source, from, row, g)));
    }
  }
  return absl::OkStatus();
}

absl::Status FillScales(const Checkpoint& checkpoint, const TensorSource& source, std::byte* out) {
  const bool by_row = source.packing == Packing::kRows;
  const std::string scale_part = source.name + (by_row ? ".weight_scale" : ".scales");
  const std::string zero_part = source.name + (by_row ? ".weight_zero_point" : ".qzeros");
  absl::StatusOr<std::vector<std::byte>> scales = ReadWhole(checkpoint, scale_part);
  if (!scales.ok()) return scales.status();
  Scaling scaling{.scales = *std::move(scales)};
  scaling.scale_type = *ElementTypeOfDtype(checkpoint.Find(scale_part)->dtype);
  if (source.has_zeros) {
    absl::StatusOr<std::vector<std::byte>> zeros = ReadWhole(checkpoint, zero_part);
    if (!zeros.ok()) return zeros.status();
    scaling.zeros = *std::move(zeros);
  }
  return Annotate(WriteScales(source, scaling, out), scale_part);
}

// Inputs must lie in their groups in order.
absl::Status CheckOrder(const Checkpoint& checkpoint, const std::string& part, int64_t cols,
                        int64_t group) {
  if (checkpoint.Find(part) == nullptr) return absl::OkStatus();
  PLIMSOLL_RETURN_IF_ERROR(CheckPart(checkpoint, part, {cols}, "I32"));
  const absl::StatusOr<std::vector<std::byte>> indices = ReadWhole(checkpoint, part);
  if (!indices.ok()) return indices.status();
  for (int64_t i = 0; i < cols; ++i) {
    if (WordAt(*indices, i) == static_cast<uint32_t>(i / group)) continue;
    return absl::UnimplementedError(part +
                                    ": inputs in the order of their activations (act-order, "
                                    "desc_act), which cannot be read; want them in order");
  }
  return absl::OkStatus();
}

// How config.json says that the module is stored; null: it says nothing of it.
const QuantizedStorage* StorageOf(const QuantizedStorage& all, const std::string& stem) {
  for (const QuantizedStorage& each : all.apart) {
    const auto is_its = [&](const std::string& module) {
      return MatchesPattern(stem, module, PatternKind::kGlob).value_or(false);
    };
    if (std::any_of(each.modules.begin(), each.modules.end(), is_its)) return &each;
  }
  return all.rest ? &all : nullptr;
}

// The shape of the scales is what counts; config.json may not contradict it, or one of them is not
// this checkpoint's.
absl::Status CheckGroup(const QuantizedStorage& storage, int64_t cols, int64_t group) {
  const bool whole = storage.group == 0 || storage.group >= cols;
  if ((whole ? cols : storage.group) == group) return absl::OkStatus();
  const std::string said = storage.group == 0 ? "a whole row" : std::to_string(storage.group);
  return BadField("group_size", said,
                  (group == cols ? "a whole row" : std::to_string(group)) + ", by its shape");
}

// What all formats have in common: a type, and groups by the shape of the scales.
absl::StatusOr<TensorSource> SourceWith(const Checkpoint& checkpoint,
                                        const QuantizedStorage& storage, const TensorSource& kind,
                                        const Shape& shape) {
  const std::string& stem = kind.name;
  const bool by_row = kind.packing == Packing::kRows;
  const std::string part = stem + (by_row ? ".weight_scale" : ".scales");
  const StoredTensor* const scales = checkpoint.Find(part);
  if (scales == nullptr) return absl::InvalidArgumentError(part + ": missing");
  const bool flat = scales->shape.size() == 2;
  const int64_t groups = flat ? scales->shape[by_row ? 1 : 0] : 0;
  const int64_t group = GroupFor(shape[1], groups);
  if (group == 0) {
    return Annotate(BadField("shape", Shown(scales->shape),
                             "one scale a row, or one for each 32, 64, 128, ... inputs"),
                    part);
  }
  const Shape want = by_row ? Shape{shape[0], groups} : Shape{groups, shape[0]};
  PLIMSOLL_RETURN_IF_ERROR(CheckPart(checkpoint, part, want, ""));
  PLIMSOLL_RETURN_IF_ERROR(Annotate(CheckGroup(storage, shape[1], group), part));
  TensorSource source = kind;
  source.resident.rows = shape[0];
  source.resident.cols = shape[1];
  source.resident.group = group;
  return source;
}

absl::StatusOr<TensorSource> FindRows(const Checkpoint& checkpoint, const QuantizedStorage& storage,
                                      const std::string& stem, const Shape& shape) {
  const std::string packed = stem + ".weight_packed";
  const Shape four = {shape[0], CeilDivide(shape[1], 8)};
  const Shape eight = {shape[0], CeilDivide(shape[1], 4)};
  const bool int8 = checkpoint.Find(packed)->shape == eight && eight != four;
  PLIMSOLL_RETURN_IF_ERROR(CheckPart(checkpoint, packed, int8 ? eight : four, "I32"));
  TensorSource kind{.name = stem, .packing = Packing::kRows};
  kind.resident.type = int8 ? ElementType::kInt8 : ElementType::kInt4;
  absl::StatusOr<TensorSource> source = SourceWith(checkpoint, storage, kind, shape);
  if (!source.ok()) return source;
  const std::string zeros = stem + ".weight_zero_point";
  source->has_zeros = checkpoint.Find(zeros) != nullptr;
  if (source->has_zeros && int8) {
    return absl::UnimplementedError(zeros + ": int8 with zero points, which cannot be read");
  }
  if (source->has_zeros) {
    const Shape want = {CeilDivide(shape[0], 8), GroupsOf(source->resident)};
    PLIMSOLL_RETURN_IF_ERROR(CheckPart(checkpoint, zeros, want, "I32"));
  }
  PLIMSOLL_RETURN_IF_ERROR(
      CheckOrder(checkpoint, stem + ".weight_g_idx", shape[1], source->resident.group));
  return source;
}

absl::StatusOr<TensorSource> FindColumns(const Checkpoint& checkpoint,
                                         const QuantizedStorage& storage, const std::string& stem,
                                         const Shape& shape) {
  const bool awq = storage.format == StorageFormat::kAwq;
  if (shape[0] % 8 != 0 || shape[1] % 8 != 0) {
    return BadField("shape", Shown(shape), "multiples of 8");
  }
  const Shape words = awq ? Shape{shape[1], shape[0] / 8} : Shape{shape[1] / 8, shape[0]};
  PLIMSOLL_RETURN_IF_ERROR(CheckPart(checkpoint, stem + ".qweight", words, "I32"));
  TensorSource kind{.name = stem, .packing = awq ? Packing::kAwq : Packing::kGptq};
  kind.resident.type = ElementType::kInt4;
  absl::StatusOr<TensorSource> source = SourceWith(checkpoint, storage, kind, shape);
  if (!source.ok()) return source;
  source->has_zeros = true;
  source->zeros_less_one = storage.variant != "gptq_v2";
  const Shape zeros = {GroupsOf(source->resident), shape[0] / 8};
  PLIMSOLL_RETURN_IF_ERROR(CheckPart(checkpoint, stem + ".qzeros", zeros, "I32"));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckOrder(checkpoint, stem + ".g_idx", shape[1], source->resident.group));
  return source;
}

}  // namespace

absl::Status CheckStorage(const ModelConfig& model) {
  if (!model.quantization) return absl::OkStatus();
  if (model.storage && EngineStorageOf(*model.storage)) return absl::OkStatus();
  const std::string how = model.storage ? NameOf(*model.storage) : *model.quantization;
  const std::string variant =
      model.storage && !model.storage->variant.empty() ? " (" + model.storage->variant + ")" : "";
  return absl::UnimplementedError(
      "no decoder for " + how + variant +
      " weights; want fp32, fp16, bf16, gptq or awq of 4 bits, or compressed-tensors' "
      "pack-quantized of 4 or 8");
}

bool IsInParts(const Checkpoint& checkpoint, const std::string& name) {
  const std::string stem = StemOf(name);
  return checkpoint.Find(stem + ".weight_packed") != nullptr ||
         checkpoint.Find(stem + ".qweight") != nullptr;
}

absl::StatusOr<TensorSource> FindParts(const Checkpoint& checkpoint, const ModelConfig& model,
                                       const std::string& name, const TensorSpec& spec) {
  const std::string stem = StemOf(name);
  const QuantizedStorage* const storage = model.storage ? StorageOf(*model.storage, stem) : nullptr;
  if (storage == nullptr || spec.shape.size() != 2) {
    return absl::InvalidArgumentError("quantised numbers, of which config.json says nothing");
  }
  if (checkpoint.Find(stem + ".weight_packed") != nullptr) {
    return FindRows(checkpoint, *storage, stem, spec.shape);
  }
  return FindColumns(checkpoint, *storage, stem, spec.shape);
}

absl::Status FillFromParts(const Checkpoint& checkpoint, const TensorSource& source,
                           std::byte* data, std::byte* scales) {
  PLIMSOLL_RETURN_IF_ERROR(FillScales(checkpoint, source, scales));
  if (source.packing == Packing::kRows) return FillRows(checkpoint, source, data);
  if (source.packing == Packing::kGptq) return FillGptq(checkpoint, source, data);
  return FillAwq(checkpoint, source, data);
}

}  // namespace plimsoll
