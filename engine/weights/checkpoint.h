// The tensors of a model folder: model.safetensors, or the shards that
// model.safetensors.index.json names.
//
// Invariants: every tensor of the index is in the shard that the index names.
//
// Threads: Read is safe from any. Cost: Open is O(headers). Errors: as safetensors.h; NotFound for
// a folder without weights.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/weights/safetensors.h"

namespace plimsoll {

class Checkpoint {
 public:
  static absl::StatusOr<Checkpoint> Open(const std::string& folder);

  const std::string& path() const { return path_; }  // the file, or the index, that was opened
  const StoredTensor* Find(const std::string& name) const;  // null if it is not there
  // Copies the bytes of a tensor that Find knows to `out`, which has exactly its size.
  absl::Status Read(const std::string& name, std::span<std::byte> out) const;
  // Its bytes from `begin` on, as many as `out` has.
  absl::Status ReadPart(const std::string& name, int64_t begin, std::span<std::byte> out) const;

 private:
  struct Place {
    size_t file;
    const StoredTensor* tensor;  // in files_[file]
  };
  static absl::StatusOr<Checkpoint> OpenShards(const std::string& folder,
                                               const std::string& index_path);
  // Where `name` is, opening the shard if this is its first tensor.
  absl::Status AddShardTensor(const std::string& name, const std::string& shard_path);

  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> file_at_;  // by path
  std::map<std::string, Place> places_;
};

}  // namespace plimsoll
