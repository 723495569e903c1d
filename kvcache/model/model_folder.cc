#include "kvcache/model/model_folder.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/model/gguf_model.h"
#include "kvcache/model/gguf_parts.h"
#include "kvcache/model/header_match.h"
#include "kvcache/model/safetensors_folder.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kGgufEnding = ".gguf";

absl::StatusOr<ModelConfig> ReadGguf(const std::string& path) {
  const absl::StatusOr<GgufHeader> header = ReadGgufParts(path);
  if (!header.ok()) return header.status();
  absl::StatusOr<ModelConfig> model = ModelFromGguf(*header, GgufName(path));
  if (!model.ok()) return Annotate(model.status(), path);
  return model;
}

absl::StatusOr<ModelConfig> ReadFolder(const std::string& folder) {
  std::error_code ignored;
  if (!fs::exists(folder + "/config.json", ignored)) {
    const absl::StatusOr<std::vector<std::string>> files = GgufFilesIn(folder);
    if (!files.ok()) return files.status();
    if (files->size() == 1) return ReadGguf(files->front());
    if (!files->empty()) {
      return Annotate(BadField("GGUF files", std::ssize(*files), "one, or the path of one of them"),
                      folder);
    }
  }
  absl::StatusOr<ModelConfig> model = ReadModelConfig(folder);
  if (!model.ok()) return model.status();
  const absl::StatusOr<FolderTensors> stored = ReadFolderTensors(folder);
  if (!stored.ok()) return stored.status();
  if (!stored->files.empty()) MatchHeaders(stored->tensors, std::ssize(stored->files), *model);
  return model;
}

}  // namespace

absl::StatusOr<ModelConfig> ReadModel(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return ReadFolder(path);
  return path.ends_with(kGgufEnding) ? ReadGguf(path) : ReadModelConfig(path);
}

}  // namespace plimsoll
