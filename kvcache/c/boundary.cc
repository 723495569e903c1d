#include "kvcache/c/boundary.h"

namespace plimsoll::c_interface {

bool WriteText(std::string_view text, plimsoll_text* to) {
  to->length = text.size();
  if (to->data == nullptr || to->capacity == 0) return false;
  const size_t length = std::min(text.size(), to->capacity - 1);
  text.copy(to->data, length);
  to->data[length] = '\0';
  return length == text.size();
}

plimsoll_code Report(const absl::Status& status, plimsoll_text* error) {
  if (error != nullptr) WriteText(std::string(status.message()), error);
  return static_cast<plimsoll_code>(status.code());
}

absl::Status CheckSize(std::string_view name, size_t size) {
  if (size >= sizeof(size_t) && size <= kLargestStruct) return absl::OkStatus();
  return BadField(std::string(name) + ".struct_size", std::to_string(size), "sizeof the structure");
}

}  // namespace plimsoll::c_interface
