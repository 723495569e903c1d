#include "engine/weights/safetensors.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return absl::NotFoundError(path + ": no such file");
  if (fd < 0) return Annotate(SystemError("open", errno), path);
  SafetensorsFile file(path, fd);
  absl::StatusOr<StoredTensors> tensors = ReadSafetensorsHeader(fd);
  if (!tensors.ok()) return Annotate(tensors.status(), path);
  file.tensors_ = *std::move(tensors);
  return file;
}

SafetensorsFile::~SafetensorsFile() {
  if (fd_ >= 0) close(fd_);
}

absl::Status SafetensorsFile::Read(const StoredTensor& tensor, std::span<std::byte> out) const {
  PLIMSOLL_CHECK(std::ssize(out) == tensor.bytes.value(), out.size(), tensor.bytes);
  return ReadPart(tensor, 0, out);
}

absl::Status SafetensorsFile::ReadPart(const StoredTensor& tensor, int64_t begin,
                                       std::span<std::byte> out) const {
  PLIMSOLL_CHECK(begin >= 0 && begin + std::ssize(out) <= tensor.bytes.value(), begin, out.size(),
                 tensor.bytes);
  return Annotate(ReadAt(fd_, tensor.offset + begin, out), path_);
}

}  // namespace plimsoll
