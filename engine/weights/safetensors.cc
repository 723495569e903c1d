#include "engine/weights/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "engine/weights/safetensors_header.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

struct DtypeRow {
  std::string_view name;
  int bits;
  std::optional<ElementType> element;
};
constexpr std::array kDtypes = {
    DtypeRow{"F32", 32, ElementType::kFp32},  DtypeRow{"F16", 16, ElementType::kFp16},
    DtypeRow{"BF16", 16, ElementType::kBf16}, DtypeRow{"F64", 64, std::nullopt},
    DtypeRow{"I64", 64, std::nullopt},        DtypeRow{"U64", 64, std::nullopt},
    DtypeRow{"I32", 32, std::nullopt},        DtypeRow{"U32", 32, std::nullopt},
    DtypeRow{"I16", 16, std::nullopt},        DtypeRow{"U16", 16, std::nullopt},
    DtypeRow{"I8", 8, std::nullopt},          DtypeRow{"U8", 8, std::nullopt},
    DtypeRow{"BOOL", 8, std::nullopt},        DtypeRow{"F8_E4M3", 8, std::nullopt},
    DtypeRow{"F8_E5M2", 8, std::nullopt},     DtypeRow{"F8_E8M0", 8, std::nullopt},
    DtypeRow{"F4", 4, std::nullopt},
};

const DtypeRow* RowOf(std::string_view dtype) {
  const auto* row = std::find_if(kDtypes.begin(), kDtypes.end(),
                                 [&](const DtypeRow& each) { return each.name == dtype; });
  return row == kDtypes.end() ? nullptr : row;
}

absl::Status ReadAt(int fd, int64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = pread(fd, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("read", errno);
    if (got == 0) return absl::InternalError("the file became shorter while it was read");
    out = out.subspan(static_cast<size_t>(got));
    offset += got;
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> SizeOf(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return SystemError("fstat", errno);
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("not a regular file");
  return int64_t{info.st_size};
}

absl::StatusOr<int64_t> HeaderLength(int fd, int64_t file_bytes) {
  std::array<std::byte, kLengthBytes> raw;
  if (file_bytes < kLengthBytes) {
    return BadField("file size", file_bytes, "at least the 8 bytes of a header's length");
  }
  PLIMSOLL_RETURN_IF_ERROR(ReadAt(fd, 0, raw));
  uint64_t length = 0;
  for (size_t i = raw.size(); i-- > 0;) length = length << 8 | std::to_integer<uint64_t>(raw[i]);
  if (length > static_cast<uint64_t>(kMaxHeaderBytes)) {
    return BadField("header length", std::to_string(length), "at most 100000000");
  }
  if (static_cast<int64_t>(length) > file_bytes - kLengthBytes) {
    return BadField("header length", std::to_string(length),
                    "at most the " + std::to_string(file_bytes - kLengthBytes) +
                        " bytes that follow in the file");
  }
  return static_cast<int64_t>(length);
}

absl::StatusOr<std::map<std::string, StoredTensor>> ReadHeader(int fd) {
  const absl::StatusOr<int64_t> file_bytes = SizeOf(fd);
  if (!file_bytes.ok()) return file_bytes.status();
  const absl::StatusOr<int64_t> length = HeaderLength(fd, *file_bytes);
  if (!length.ok()) return length.status();
  std::string text(static_cast<size_t>(*length), '\0');
  PLIMSOLL_RETURN_IF_ERROR(ReadAt(fd, kLengthBytes, std::as_writable_bytes(std::span(text))));
  const int64_t data_start = kLengthBytes + *length;
  return ParseSafetensorsHeader(text, data_start, *file_bytes - data_start);
}

}  // namespace

std::optional<int> BitsOfDtype(std::string_view dtype) {
  const DtypeRow* const row = RowOf(dtype);
  if (row == nullptr) return std::nullopt;
  return row->bits;
}

std::optional<ElementType> ElementTypeOfDtype(std::string_view dtype) {
  const DtypeRow* const row = RowOf(dtype);
  return row == nullptr ? std::nullopt : row->element;
}

std::string_view DtypeOf(ElementType type) {
  const auto* row = std::find_if(kDtypes.begin(), kDtypes.end(),
                                 [&](const DtypeRow& each) { return each.element == type; });
  PLIMSOLL_CHECK(row != kDtypes.end(), static_cast<int>(type));
  return row->name;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return absl::NotFoundError(path + ": no such file");
  if (fd < 0) return Annotate(SystemError("open", errno), path);
  SafetensorsFile file(path, fd);
  absl::StatusOr<std::map<std::string, StoredTensor>> tensors = ReadHeader(fd);
  if (!tensors.ok()) return Annotate(tensors.status(), path);
  file.tensors_ = *std::move(tensors);
  return file;
}

SafetensorsFile::~SafetensorsFile() {
  if (fd_ >= 0) close(fd_);
}

absl::Status SafetensorsFile::Read(const StoredTensor& tensor, std::span<std::byte> out) const {
  PLIMSOLL_CHECK(std::ssize(out) == tensor.bytes.value(), out.size(), tensor.bytes);
  return Annotate(ReadAt(fd_, tensor.offset, out), path_);
}

}  // namespace plimsoll
