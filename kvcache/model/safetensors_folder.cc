#include "kvcache/model/safetensors_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/folder_files.h"
#include "kvcache/model/strict_json.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using WeightMap = std::map<std::string, std::string>;

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) return absl::InternalError(error.message());
  if (size > static_cast<std::uintmax_t>(kMaxJsonBytes)) {
    return BadField("file size", std::to_string(size), "at most " + std::to_string(kMaxJsonBytes));
  }
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// A shard is a file beside the index; a path that leads elsewhere is not followed.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

absl::StatusOr<WeightMap> ParseIndex(const std::string& text) {
  const absl::StatusOr<Json> index = ParseStrictJson(text);
  if (!index.ok()) return index.status();
  if (!index->is_object() || !index->contains("weight_map") ||
      !(*index)["weight_map"].is_object()) {
    return absl::InvalidArgumentError("weight_map: want an object of tensor names and files");
  }
  WeightMap map;
  for (const auto& [name, file] : (*index)["weight_map"].items()) {
    if (!file.is_string() || !IsPlainFileName(file.get_ref<const std::string&>())) {
      const std::string shown = file.dump(-1, ' ', true, Json::error_handler_t::replace);
      return BadField("weight_map[" + Excerpt(name) + "]", Excerpt(shown),
                      "the name of a file beside the index");
    }
    map.emplace(name, file.get<std::string>());
  }
  return map;
}

absl::StatusOr<StoredTensors> ReadHeaderOf(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return absl::NotFoundError(path + ": no such file");
  if (fd < 0) return Annotate(SystemError("open", errno), path);
  absl::StatusOr<StoredTensors> tensors = ReadSafetensorsHeader(fd);
  close(fd);
  if (!tensors.ok()) return Annotate(tensors.status(), path);
  return tensors;
}

// Shards that count themselves ("model-00002-of-00003") must all be there.
absl::Status CheckNumbers(const std::vector<std::string>& names) {
  static const std::regex kNumbers(R"(-\d{5}-of-(\d{5})\.safetensors$)");
  std::map<std::string, int64_t> there;  // how many of each count
  std::smatch match;
  for (const std::string& name : names) {
    if (std::regex_search(name, match, kNumbers)) ++there[match[1]];
  }
  for (const auto& [count, found] : there) {
    if (found == std::stoll(count)) continue;
    return BadField("shards", found, std::to_string(std::stoll(count)) + ", as their names say");
  }
  return absl::OkStatus();
}

absl::StatusOr<FolderTensors> Joined(const std::string& folder, std::vector<std::string> files) {
  FolderTensors all{.files = std::move(files), .tensors = {}};
  for (const std::string& file : all.files) {
    absl::StatusOr<StoredTensors> tensors = ReadHeaderOf(folder + "/" + file);
    if (!tensors.ok()) return tensors.status();
    for (auto& [name, tensor] : *tensors) {
      if (all.tensors.emplace(name, std::move(tensor)).second) continue;
      return absl::InvalidArgumentError(folder + "/" + file + ": tensor " + Excerpt(name) +
                                        ": stands in another file too");
    }
  }
  return all;
}

// Every tensor of the index must be in the file it names. What a file has beside them stays.
absl::StatusOr<FolderTensors> ByIndex(const std::string& folder, const std::string& index) {
  const absl::StatusOr<WeightMap> map = ReadSafetensorsIndex(index);
  if (!map.ok()) return map.status();
  std::set<std::string> files;
  for (const auto& [name, file] : *map) files.insert(file);
  absl::StatusOr<FolderTensors> all = Joined(folder, {files.begin(), files.end()});
  if (!all.ok()) return all.status();
  for (const auto& [name, file] : *map) {
    if (all->tensors.contains(name)) continue;
    return Annotate(
        BadField("weight_map[" + Excerpt(name) + "]", Excerpt(file), "a file with that tensor"),
        index);
  }
  return all;
}

}  // namespace

absl::StatusOr<WeightMap> ReadSafetensorsIndex(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) return Annotate(text.status(), path);
  absl::StatusOr<WeightMap> map = ParseIndex(*text);
  if (!map.ok()) return Annotate(map.status(), path);
  return map;
}

absl::StatusOr<FolderTensors> ReadFolderTensors(const std::string& folder) {
  const std::string index = folder + "/model.safetensors.index.json";
  if (Exists(folder + "/model.safetensors")) return Joined(folder, {"model.safetensors"});
  if (Exists(index)) return ByIndex(folder, index);
  absl::StatusOr<std::vector<std::string>> names = FilesEndingWith(".safetensors", folder);
  if (!names.ok()) return names.status();
  const absl::Status numbers = CheckNumbers(*names);
  if (!numbers.ok()) return Annotate(numbers, folder);
  return Joined(folder, *std::move(names));
}

}  // namespace plimsoll
