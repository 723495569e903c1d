// The safetensors files of a model folder: model.safetensors, or the shards that
// model.safetensors.index.json names, or shards without an index.
//
// Invariants of what was accepted: every tensor of the index is in the shard that the index names;
// no tensor is in two files; numbered shards ("-00001-of-00003") are all there. The index's own sum
// of bytes is not believed: the headers tell.
//
// Threads: pure. Cost: O(headers). Errors: InvalidArgument naming the file; NotFound for a file
// that the index names and that is not there.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/model/safetensors_header.h"

namespace plimsoll {

// Which file each tensor is in, by the index at `path`: names of files beside it.
absl::StatusOr<std::map<std::string, std::string>> ReadSafetensorsIndex(const std::string& path);

struct FolderTensors {
  std::vector<std::string> files;  // names in the folder, sorted; empty where there are none
  StoredTensors tensors;           // offsets are those in each tensor's own file
};
absl::StatusOr<FolderTensors> ReadFolderTensors(const std::string& folder);

}  // namespace plimsoll
