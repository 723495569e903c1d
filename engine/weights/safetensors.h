// One safetensors file: a header of JSON that names tensors, then their bytes.
//
//   8 bytes, little-endian: length of the header | the header | the tensors, back to back
//
// Invariants of an open file: names are unique; every tensor's bytes lie inside the file, are as
// many as its shape and type say, and overlap no other's; together they cover the file.
//
// Files are read, not mapped: one that shrinks meanwhile is an error and not a signal.
//
// Threads: Read is safe from any. Cost: Open is O(header). Errors: InvalidArgument with file,
// tensor, field and value for a file that is not what it says; NotFound when it is not there;
// Internal when reading fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct StoredTensor {
  std::string dtype;  // as the format spells it: "BF16"
  std::vector<int64_t> shape;
  int64_t offset = 0;  // of the first byte, from the start of the file
  Bytes bytes;
};

// Bits of one element for every type of the format; nullopt for a name that is not of it.
std::optional<int> BitsOfDtype(std::string_view dtype);
// The types that a decoder can use: F32, F16, BF16.
std::optional<ElementType> ElementTypeOfDtype(std::string_view dtype);
std::string_view DtypeOf(ElementType type);  // of kFp32, kFp16 and kBf16 only

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
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }

  // Copies the tensor's bytes to `out`, which has exactly its size.
  absl::Status Read(const StoredTensor& tensor, std::span<std::byte> out) const;

 private:
  SafetensorsFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;  // -1 once moved from
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace plimsoll
