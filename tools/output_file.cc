#include "tools/output_file.h"

#include <cerrno>
#include <cstdio>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

bool WriteAll(std::FILE* file, const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
}

}  // namespace

absl::Status WriteOutput(const std::string& path, const std::string& text) {
  if (path.empty()) {
    if (WriteAll(stdout, text)) return absl::OkStatus();
    return SystemError("standard output", errno);
  }
  std::FILE* const file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return SystemError(path, errno);
  const bool written = WriteAll(file, text);
  const int write_error = errno;
  const bool closed = std::fclose(file) == 0;
  if (!written) return SystemError(path, write_error);
  return closed ? absl::OkStatus() : SystemError(path, errno);
}

}  // namespace plimsoll
