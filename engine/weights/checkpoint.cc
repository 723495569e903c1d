#include "engine/weights/checkpoint.h"

#include <filesystem>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/safetensors_folder.h"

namespace plimsoll {
namespace {

bool Exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
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
  const auto map = ReadSafetensorsIndex(index_path);
  if (!map.ok()) return map.status();
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

absl::Status Checkpoint::ReadPart(const std::string& name, int64_t begin,
                                  std::span<std::byte> out) const {
  const auto place = places_.find(name);
  PLIMSOLL_CHECK(place != places_.end(), name);
  return files_[place->second.file].ReadPart(*place->second.tensor, begin, out);
}

}  // namespace plimsoll
