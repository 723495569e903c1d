#include "tools/npy_file.h"

#include <bit>
#include <cerrno>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

static_assert(std::endian::native == std::endian::little, "the header says so");

// 128 bytes whatever the shape, so that it can be written again when the rows are counted.
std::string Header(int64_t rows, int64_t columns) {
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) +
                     ", " + std::to_string(columns) + "), }";
  text.resize(117, ' ');
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + text + '\n';
}

}  // namespace

absl::StatusOr<std::unique_ptr<NpyFile>> NpyFile::Create(const std::string& path, int64_t columns) {
  const std::string partial = path + ".partial";
  std::FILE* const file = std::fopen(partial.c_str(), "wb");
  if (file == nullptr) return Annotate(SystemError("open", errno), path);
  std::unique_ptr<NpyFile> npy(new NpyFile(path, file, columns));
  const std::string header = Header(0, columns);
  npy->Write(header.data(), header.size());
  return npy;
}

NpyFile::~NpyFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::remove(PartialPath().c_str());
}

void NpyFile::Write(const void* data, size_t bytes) {
  if (error_ == 0 && std::fwrite(data, 1, bytes, file_) != bytes) error_ = errno;
}

void NpyFile::Append(std::span<const float> row) {
  PLIMSOLL_CHECK(std::ssize(row) == columns_, row.size(), columns_);
  Write(row.data(), row.size_bytes());
  ++rows_;
}

absl::Status NpyFile::Finish() {
  const std::string header = Header(rows_, columns_);
  if (error_ == 0 && std::fseek(file_, 0, SEEK_SET) != 0) error_ = errno;
  Write(header.data(), header.size());
  if (std::fclose(std::exchange(file_, nullptr)) != 0 && error_ == 0) error_ = errno;
  if (error_ == 0 && std::rename(PartialPath().c_str(), path_.c_str()) != 0) error_ = errno;
  if (error_ == 0) return absl::OkStatus();
  std::remove(PartialPath().c_str());
  return Annotate(SystemError("write", error_), path_);
}

}  // namespace plimsoll
