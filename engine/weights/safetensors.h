// One safetensors file: the tensors of its header, with their bytes. What the header promises
// stands in kvcache/model/safetensors_header.h.
//
// Files are read, not mapped: one that shrinks meanwhile is an error and not a signal.
//
// Threads: Read is safe from any. Cost: Open is O(header). Errors: InvalidArgument with file,
// tensor, field and value for a file that is not what it says; NotFound when it is not there;
// Internal when reading fails.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/model/safetensors_header.h"

namespace plimsoll {

class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  SafetensorsFile(SafetensorsFile&& other) noexcept
      : path_(std::move(other.path_)),
        fd_(std::exchange(other.fd_, -1)),
        tensors_(std::move(other.tensors_)) {}
  SafetensorsFile& operator=(SafetensorsFile&&) = delete;
  ~SafetensorsFile();

  const std::string& path() const { return path_; }
  const StoredTensors& tensors() const { return tensors_; }

  // Copies the tensor's bytes to `out`, which has exactly its size.
  absl::Status Read(const StoredTensor& tensor, std::span<std::byte> out) const;
  // Its bytes from `begin` on, as many as `out` has.
  absl::Status ReadPart(const StoredTensor& tensor, int64_t begin, std::span<std::byte> out) const;

 private:
  SafetensorsFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;  // -1 once moved from
  StoredTensors tensors_;
};

}  // namespace plimsoll
