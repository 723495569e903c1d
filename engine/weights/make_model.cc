#include "engine/weights/make_model.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/weights/folder_in_progress.h"
#include "engine/weights/random_weights.h"
#include "engine/weights/safetensors_writer.h"
#include "engine/weights/tensor_names.h"
#include "kvcache/base/errors.h"
#include "kvcache/model/config_reader.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPieceBytes = int64_t{4} << 20;

absl::StatusOr<std::string> ConfigText(const std::string& like) {
  std::error_code ignored;
  const fs::path path =
      fs::is_directory(like, ignored) ? fs::path(like) / "config.json" : fs::path(like);
  PLIMSOLL_RETURN_IF_ERROR(ReadModelConfig(path.string()).status());  // its errors are better
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

absl::StatusOr<Bytes> WriteWeights(const std::string& path, const ModelConfig& model,
                                   const MakeModelOptions& options) {
  std::vector<TensorToWrite> tensors;
  std::vector<const TensorSpec*> specs;
  ForEachTensor(model, [&](const std::string& name, const TensorSpec& spec) {
    tensors.push_back({name, model.dtype, spec.shape});
    specs.push_back(&spec);
    return true;
  });
  absl::StatusOr<std::unique_ptr<SafetensorsWriter>> writer =
      SafetensorsWriter::Create(path, tensors);
  if (!writer.ok()) return writer.status();
  std::vector<std::byte> piece;
  Bytes written;
  for (size_t i = 0; i < tensors.size(); ++i) {
    RandomTensor random(options.seed, tensors[i].name, *specs[i], 1 - model.norm_offset);
    int64_t left = BytesOf(model.dtype, specs[i]->ElementsOfOne()).value();
    for (; left > 0; left -= std::ssize(piece)) {
      piece.resize(static_cast<size_t>(std::min(left, kPieceBytes)));
      random.Fill(model.dtype, piece);
      PLIMSOLL_RETURN_IF_ERROR((*writer)->Append(piece));
      written += Bytes(std::ssize(piece));
      if (options.progress) options.progress(written, (*writer)->data_bytes());
    }
  }
  PLIMSOLL_RETURN_IF_ERROR((*writer)->Finish());
  return written;
}

// A family that keeps one of these under a name unknown here must not be made in another shape than
// the one asked for.
absl::Status CheckShape(const ModelShape& shape, const ModelConfig& model) {
  const AttentionSpec none{.heads = 0, .kv_heads = 0, .head_dim = 0, .value_dim = 0};
  const AttentionSpec& heads = model.attention.empty() ? none : model.attention.front();
  const std::tuple<const char*, const std::optional<int64_t>&, int64_t> asked_and_read[] = {
      {"layers", shape.layers, model.layers},       {"hidden", shape.hidden, model.hidden_size},
      {"vocab", shape.vocab, model.vocab_size},     {"heads", shape.heads, heads.heads},
      {"kv_heads", shape.kv_heads, heads.kv_heads}, {"head_dim", shape.head_dim, heads.head_dim}};
  for (const auto& [name, asked, read] : asked_and_read) {
    if (!asked || *asked == read) continue;
    return BadField(
        name, *asked,
        std::to_string(read) + ", which is fixed by the rest of a " + model.architecture);
  }
  return absl::OkStatus();
}

// Messages name the shape that was asked for, not a file that the caller never sees.
absl::StatusOr<ModelConfig> ParseReshaped(const std::string& text, const std::string& name,
                                          const ModelShape& shape) {
  absl::StatusOr<ModelConfig> model = ParseModelConfig(text, name);
  if (!model.ok()) return Annotate(model.status(), "the shape asked for");
  PLIMSOLL_RETURN_IF_ERROR(CheckShape(shape, *model));
  return model;
}

}  // namespace

absl::StatusOr<MadeModel> MakeModel(const MakeModelOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(FolderInProgress::CheckTarget(options.folder));
  const absl::StatusOr<std::string> source = ConfigText(options.like);
  if (!source.ok()) return source.status();
  const absl::StatusOr<std::string> text = Reshape(*source, options.shape);
  if (!text.ok()) return Annotate(text.status(), options.like);
  std::error_code error;
  const fs::path target = fs::absolute(options.folder, error).lexically_normal();
  if (error) return absl::InvalidArgumentError(options.folder + ": " + error.message());
  const fs::path named = target.has_filename() ? target : target.parent_path();
  absl::StatusOr<ModelConfig> model =
      ParseReshaped(*text, named.filename().string(), options.shape);
  if (!model.ok()) return model.status();
  FolderInProgress folder(named);
  PLIMSOLL_RETURN_IF_ERROR(folder.Create());
  PLIMSOLL_RETURN_IF_ERROR(folder.WriteText("config.json", *text));
  const absl::StatusOr<Bytes> bytes =
      WriteWeights(folder.File("model.safetensors"), *model, options);
  if (!bytes.ok()) return bytes.status();
  PLIMSOLL_RETURN_IF_ERROR(folder.Complete());
  return MadeModel{*std::move(model), *bytes};
}

}  // namespace plimsoll
