// A matrix of float32 in NumPy's .npy format, written row by row.
//
// Invariants: the file that the caller named appears whole or not at all: it grows under another
// name until Finish.
//
// Threads: none. Cost: one write per row. Errors: Internal naming the file and the reason.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace plimsoll {

class NpyFile {
 public:
  static absl::StatusOr<std::unique_ptr<NpyFile>> Create(const std::string& path, int64_t columns);
  ~NpyFile();
  NpyFile(const NpyFile&) = delete;
  NpyFile& operator=(const NpyFile&) = delete;

  // After a failure it does nothing more; Finish reports it.
  void Append(std::span<const float> row);
  absl::Status Finish();

 private:
  NpyFile(std::string path, std::FILE* file, int64_t columns)
      : path_(std::move(path)), file_(file), columns_(columns) {}
  std::string PartialPath() const { return path_ + ".partial"; }
  void Write(const void* data, size_t bytes);

  const std::string path_;
  std::FILE* file_;  // null once closed
  const int64_t columns_;
  int64_t rows_ = 0;
  int error_ = 0;  // the first errno
};

}  // namespace plimsoll
