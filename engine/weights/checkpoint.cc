#include "engine/weights/checkpoint.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/strict_json.h"

namespace plimsoll {
namespace {

using Json = nlohmann::json;

// Which shard each tensor is in.
using WeightMap = std::map<std::string, std::string>;

constexpr std::uintmax_t kMaxIndexBytes = 100'000'000;

bool Exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return absl::InternalError(path + ": " + error.message());
  if (size > kMaxIndexBytes) {
    return Annotate(BadField("file size", std::to_string(size), "at most 100000000"), path);
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
      return BadField("weight_map[" + name + "]", shown, "the name of a file beside the index");
    }
    map.emplace(name, file.get<std::string>());
  }
  return map;
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& folder) {
  const std::string single = folder + "/model.safetensors";
  const std::string index = folder + "/model.safetensors.index.json";
  if (!Exists(single) && Exists(index)) return OpenShards(folder, index);
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(single);
  if (!file.ok()) return file.status();
  Checkpoint checkpoint;
  checkpoint.path_ = single;
  checkpoint.files_.push_back(*std::move(file));
  for (const auto& [name, tensor] : checkpoint.files_[0].tensors()) {
    checkpoint.places_.emplace(name, Place{0, &tensor});
  }
  return checkpoint;
}

absl::StatusOr<Checkpoint> Checkpoint::OpenShards(const std::string& folder,
                                                  const std::string& index_path) {
  const absl::StatusOr<std::string> text = ReadText(index_path);
  if (!text.ok()) return text.status();
  const absl::StatusOr<WeightMap> map = ParseIndex(*text);
  if (!map.ok()) return Annotate(map.status(), index_path);
  Checkpoint checkpoint;
  checkpoint.path_ = index_path;
  for (const auto& [name, shard] : *map) {
    PLIMSOLL_RETURN_IF_ERROR(checkpoint.AddShardTensor(name, folder + "/" + shard));
  }
  return checkpoint;
}

absl::Status Checkpoint::AddShardTensor(const std::string& name, const std::string& shard_path) {
  if (!file_at_.contains(shard_path)) {
    absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Open(shard_path);
    if (!file.ok()) return file.status();
    file_at_.emplace(shard_path, files_.size());
    files_.push_back(*std::move(file));
  }
  const size_t at = file_at_.at(shard_path);
  const auto tensor = files_[at].tensors().find(name);
  if (tensor == files_[at].tensors().end()) {
    return Annotate(BadField("weight_map[" + name + "]", shard_path, "a file with that tensor"),
                    path_);
  }
  places_.emplace(name, Place{at, &tensor->second});
  return absl::OkStatus();
}

const StoredTensor* Checkpoint::Find(const std::string& name) const {
  const auto place = places_.find(name);
  return place == places_.end() ? nullptr : place->second.tensor;
}

absl::Status Checkpoint::Read(const std::string& name, std::span<std::byte> out) const {
  const auto place = places_.find(name);
  PLIMSOLL_CHECK(place != places_.end(), name);
  return files_[place->second.file].Read(*place->second.tensor, out);
}

}  // namespace plimsoll
