#include "engine/weights/quantise_checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <system_error>
#include <vector>

#include "engine/ops/float16.h"
#include "engine/ops/weight_element.h"
#include "engine/weights/checkpoint.h"
#include "engine/weights/folder_in_progress.h"
#include "engine/weights/safetensors_writer.h"
#include "engine/weights/tensor_names.h"
#include "engine/weights/tensor_source.h"
#include "kvcache/base/errors.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kPieceBytes = int64_t{4} << 20;
constexpr int64_t kWord = 4;

int64_t WordsOf(const WeightView& view) {
  return CeilDivide(view.cols, view.type == ElementType::kInt4 ? 8 : 4);
}

std::string StemOf(const std::string& name) {
  return name.substr(0, name.size() - std::string(".weight").size());
}

// What one tensor becomes in the file, in the order in which Append writes it.
void Declare(const TensorSource& source, const TensorSpec& spec,
             std::vector<TensorToWrite>& tensors) {
  const WeightView& view = source.resident;
  if (IsFloatStorage(view.type)) return tensors.push_back({source.name, view.type, spec.shape});
  const std::string stem = StemOf(source.name);
  const int64_t groups = GroupsOf(view);
  const auto words = [&](const char* part, std::vector<int64_t> shape, const char* dtype) {
    tensors.push_back({stem + part, ElementType::kFp32, std::move(shape), dtype});
  };
  words(".weight_packed", {view.rows, WordsOf(view)}, "I32");
  tensors.push_back({stem + ".weight_scale", ElementType::kFp16, {view.rows, groups}});
  if (view.type == ElementType::kInt4) {
    words(".weight_zero_point", {CeilDivide(view.rows, 8), groups}, "I32");
  }
  words(".weight_shape", {2}, "I64");
}

class Writer {
 public:
  Writer(const Checkpoint& checkpoint, SafetensorsWriter& file, const QuantiseOptions& options)
      : checkpoint_(checkpoint), file_(file), options_(options) {}

  absl::Status Write(const TensorSource& source) {
    if (!IsFloatStorage(source.resident.type)) return WriteMatrix(source);
    return source.stored == source.resident.type ? Copy(source) : WriteFloats(source);
  }

 private:
  absl::Status Append(std::span<const std::byte> bytes) {
    PLIMSOLL_RETURN_IF_ERROR(file_.Append(bytes));
    written_ += Bytes(std::ssize(bytes));
    if (options_.progress) options_.progress(written_, file_.data_bytes());
    return absl::OkStatus();
  }

  absl::Status Copy(const TensorSource& source) {
    const int64_t bytes = source.DataBytes().value();
    std::vector<std::byte> piece;
    for (int64_t at = 0; at < bytes; at += std::ssize(piece)) {
      piece.resize(static_cast<size_t>(std::min(kPieceBytes, bytes - at)));
      PLIMSOLL_RETURN_IF_ERROR(checkpoint_.ReadPart(source.name, at, piece));
      PLIMSOLL_RETURN_IF_ERROR(Append(piece));
    }
    return absl::OkStatus();
  }

  absl::Status WriteFloats(const TensorSource& source) {
    std::vector<std::byte> data(static_cast<size_t>(source.DataBytes().value()));
    PLIMSOLL_RETURN_IF_ERROR(FillTensor(checkpoint_, source, data.data(), nullptr));
    return Append(data);
  }

  absl::Status WriteMatrix(const TensorSource& source) {
    std::vector<std::byte> data(static_cast<size_t>(source.DataBytes().value()));
    std::vector<std::byte> scales(static_cast<size_t>(source.ScaleBytes().value()));
    PLIMSOLL_RETURN_IF_ERROR(FillTensor(checkpoint_, source, data.data(), scales.data()));
    WeightView view = source.resident;
    view.data = data.data();
    view.scales = scales.data();
    PLIMSOLL_RETURN_IF_ERROR(WriteNumbers(view));
    PLIMSOLL_RETURN_IF_ERROR(WriteScales(view));
    const int64_t shape[] = {view.rows, view.cols};
    return Append(std::as_bytes(std::span(shape)));
  }

  // Rows of bytes, filled up to whole words; int8 plus 128.
  absl::Status WriteNumbers(const WeightView& view) {
    const int64_t from = RowBytesOf(view);
    std::vector<std::byte> row(static_cast<size_t>(WordsOf(view) * kWord));
    for (int64_t r = 0; r < view.rows; ++r) {
      std::copy_n(view.data + r * from, from, row.begin());
      if (view.type == ElementType::kInt8) {
        for (int64_t i = 0; i < from; ++i) row[static_cast<size_t>(i)] ^= std::byte{0x80};
      }
      PLIMSOLL_RETURN_IF_ERROR(Append(row));
    }
    return absl::OkStatus();
  }

  // Scales apart from zeros, of which eight rows' share a word.
  absl::Status WriteScales(const WeightView& view) {
    const int64_t count = view.rows * GroupsOf(view);
    const auto half = [&](int64_t at) { return ReadElement(view.scales, ElementType::kFp16, at); };
    if (view.type == ElementType::kInt8)
      return Append(std::span(view.scales, view.scales + 2 * count));
    std::vector<std::byte> scales(static_cast<size_t>(2 * count));
    std::vector<uint32_t> zeros(static_cast<size_t>(CeilDivide(view.rows, 8) * GroupsOf(view)));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = i / GroupsOf(view), group = i % GroupsOf(view);
      WriteElement(scales.data(), ElementType::kFp16, i, half(2 * i));
      zeros[static_cast<size_t>(row / 8 * GroupsOf(view) + group)] |=
          static_cast<uint32_t>(half(2 * i + 1)) << row % 8 * 4;
    }
    PLIMSOLL_RETURN_IF_ERROR(Append(scales));
    return Append(std::as_bytes(std::span(zeros)));
  }

  const Checkpoint& checkpoint_;
  SafetensorsWriter& file_;
  const QuantiseOptions& options_;
  Bytes written_;
};

// Modules with a matrix that is left as it is.
Json Ignored(const ModelConfig& model) {
  Json names = Json::array();
  ForEachTensor(model, [&](const std::string& name, const TensorSpec& spec) {
    if (spec.role == TensorRole::kHead || spec.role == TensorRole::kRouter) {
      names.push_back(StemOf(name));
    }
    return true;
  });
  if (model.tied_embeddings) names.push_back("lm_head");
  return names;
}

Json QuantizationConfig(const ModelConfig& model, ElementType type) {
  const bool int4 = type == ElementType::kInt4;
  Json weights = {{"num_bits", int4 ? 4 : 8},
                  {"type", "int"},
                  {"symmetric", !int4},
                  {"strategy", int4 ? "group" : "channel"},
                  {"dynamic", false}};
  if (int4) weights["group_size"] = kInt4Group;
  const Json group = {{"targets", {"Linear"}},
                      {"weights", std::move(weights)},
                      {"input_activations", nullptr},
                      {"output_activations", nullptr}};
  return {{"quant_method", "compressed-tensors"},
          {"format", "pack-quantized"},
          {"quantization_status", "compressed"},
          {"config_groups", {{"group_0", group}}},
          {"ignore", Ignored(model)}};
}

absl::StatusOr<std::string> ConfigText(const std::string& folder, const ModelConfig& model,
                                       ElementType type) {
  std::ostringstream text;
  text << std::ifstream(folder + "/config.json", std::ios::binary).rdbuf();
  Json config = Json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {  // ReadModelConfig takes a little more than JSON
    return absl::InvalidArgumentError(folder + "/config.json: not strict JSON");
  }
  if (BitsOf(model.dtype) > 16) {  // what is not rounded is written in 16 bits (tensor_source.h)
    config.erase("dtype");
    config["torch_dtype"] = "bfloat16";
  }
  config["quantization_config"] = QuantizationConfig(model, type);
  return config.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

// Tokenisers and whatever else of text there is.
absl::Status CopyTexts(const std::string& from, const FolderInProgress& to) {
  std::error_code error;
  fs::directory_iterator entries(from, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::directory_entry& entry = *entries;
    const std::string name = entry.path().filename().string();
    const std::string ending = entry.path().extension().string();
    const bool text = ending == ".json" || ending == ".txt" || ending == ".model" ||
                      ending == ".jinja" || ending == ".md";
    const bool ours = name == "config.json" || name == "model.safetensors.index.json";
    std::error_code unknown;  // is no regular file
    if (!entry.is_regular_file(unknown) || !text || ours) continue;
    fs::copy_file(entry.path(), to.File(name.c_str()), error);
    if (error) return absl::InternalError(to.File(name.c_str()) + ": " + error.message());
  }
  if (error) return absl::InternalError(from + ": " + error.message());
  return absl::OkStatus();
}

absl::StatusOr<Bytes> WriteWeights(const std::string& path, const ModelConfig& model,
                                   const QuantiseOptions& options) {
  const absl::StatusOr<Checkpoint> checkpoint = Checkpoint::Open(options.model);
  if (!checkpoint.ok()) return checkpoint.status();
  std::vector<TensorSource> sources;
  std::vector<TensorToWrite> tensors;
  absl::Status status;
  ForEachTensor(model, [&](const std::string& name, const TensorSpec& spec) {
    const absl::StatusOr<TensorSource> source =
        FindTensor(*checkpoint, model, name, spec, options.type);
    if (!source.ok()) {
      status = Annotate(Annotate(source.status(), "tensor " + name), checkpoint->path());
      return false;
    }
    Declare(*source, spec, tensors);
    sources.push_back(*source);
    return true;
  });
  PLIMSOLL_RETURN_IF_ERROR(status);
  const absl::StatusOr<std::unique_ptr<SafetensorsWriter>> file =
      SafetensorsWriter::Create(path, tensors);
  if (!file.ok()) return file.status();
  Writer writer(*checkpoint, **file, options);
  for (const TensorSource& source : sources) PLIMSOLL_RETURN_IF_ERROR(writer.Write(source));
  PLIMSOLL_RETURN_IF_ERROR((*file)->Finish());
  return (*file)->data_bytes();
}

absl::Status CheckOptions(const ModelConfig& model, const QuantiseOptions& options) {
  if (options.type != ElementType::kInt8 && options.type != ElementType::kInt4) {
    return BadField("weights", NameOf(options.type), "int8 or int4");
  }
  if (!model.quantization) return absl::OkStatus();
  return absl::InvalidArgumentError(options.model + ": quantised already: " + *model.quantization);
}

}  // namespace

absl::StatusOr<Bytes> QuantiseCheckpoint(const QuantiseOptions& as_given) {
  QuantiseOptions options = as_given;
  std::error_code error;
  if (!fs::is_directory(options.model, error)) {  // its config.json
    options.model = fs::path(options.model).parent_path().string();
  }
  if (options.model.empty()) options.model = ".";
  PLIMSOLL_RETURN_IF_ERROR(FolderInProgress::CheckTarget(options.folder));
  const absl::StatusOr<ModelConfig> model = ReadModelConfig(as_given.model);
  if (!model.ok()) return model.status();
  PLIMSOLL_RETURN_IF_ERROR(CheckOptions(*model, options));
  const absl::StatusOr<std::string> text = ConfigText(options.model, *model, options.type);
  if (!text.ok()) return text.status();
  const fs::path target = fs::absolute(options.folder, error).lexically_normal();
  if (error) return absl::InvalidArgumentError(options.folder + ": " + error.message());
  FolderInProgress folder(target.has_filename() ? target : target.parent_path());
  PLIMSOLL_RETURN_IF_ERROR(folder.Create());
  PLIMSOLL_RETURN_IF_ERROR(folder.WriteText("config.json", *text));
  PLIMSOLL_RETURN_IF_ERROR(CopyTexts(options.model, folder));
  const absl::StatusOr<Bytes> bytes =
      WriteWeights(folder.File("model.safetensors"), *model, options);
  if (!bytes.ok()) return bytes.status();
  PLIMSOLL_RETURN_IF_ERROR(folder.Complete());
  return *bytes;
}

}  // namespace plimsoll
