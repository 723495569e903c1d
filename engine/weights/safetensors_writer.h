// Writes one safetensors file, tensor by tensor, without holding it in memory.
//
// Invariants: bytes come in the order of the tensors declared; a file that is not finished is
// removed when the writer goes away.
//
// Threads: none. Cost: one write per Append. Errors: Internal with path and cause (a full disk, a
// folder that cannot be written).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct TensorToWrite {
  std::string name;
  ElementType type;  // fp32, fp16 or bf16
  std::vector<int64_t> shape;
  std::string dtype = "";  // the format's name of another type, in place of `type`: "I32"
};

class SafetensorsWriter {
 public:
  // Writes the header. `path` must not exist. Names are unique.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      const std::string& path, const std::vector<TensorToWrite>& tensors);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  // The next bytes of the data, in pieces of any size.
  absl::Status Append(std::span<const std::byte> bytes);
  // Makes the file durable; every declared byte must have come.
  absl::Status Finish();

  Bytes data_bytes() const { return data_bytes_; }  // of all tensors

 private:
  SafetensorsWriter(std::string path, int fd, Bytes data_bytes)
      : path_(std::move(path)), fd_(fd), data_bytes_(data_bytes) {}
  absl::Status Write(std::span<const std::byte> bytes);

  const std::string path_;
  const int fd_;
  const Bytes data_bytes_;
  Bytes appended_;
  bool finished_ = false;
};

}  // namespace plimsoll
