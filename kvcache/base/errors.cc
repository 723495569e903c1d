#include "kvcache/base/errors.h"

#include <algorithm>
#include <system_error>

namespace plimsoll {

absl::Status BadField(std::string_view field, std::string_view value, std::string_view wanted) {
  return absl::InvalidArgumentError(std::string(field) + "=" + std::string(value) + ": want " +
                                    std::string(wanted));
}

absl::Status BadField(std::string_view field, int64_t value, std::string_view wanted) {
  return BadField(field, std::to_string(value), wanted);
}

absl::Status OutOfBlocks(Blocks need, Blocks free, Blocks total) {
  return absl::ResourceExhaustedError("need " + std::to_string(need.value()) + " blocks, " +
                                      std::to_string(free.value()) + " of " +
                                      std::to_string(total.value()) + " free");
}

absl::Status SystemError(std::string_view call, int error_number) {
  return absl::InternalError(std::string(call) + ": " +
                             std::generic_category().message(error_number));
}

std::string Excerpt(std::string_view text) {
  constexpr size_t kMost = 60;
  std::string line(text.substr(0, kMost));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, '?');
  return text.size() > kMost ? line + "..." : line;
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), std::string(context) + ": " + std::string(status.message()));
}

}  // namespace plimsoll
