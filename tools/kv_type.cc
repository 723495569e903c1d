#include "tools/kv_type.h"

#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<std::optional<ElementType>> ReadKvType(const std::string& text, const char* name) {
  if (text.empty()) return std::optional<ElementType>();
  const std::optional<ElementType> type = ElementTypeFromName(text);
  if (!type || *type == ElementType::kTf32) return BadField(name, Excerpt(text), kKvTypes);
  return type;
}

}  // namespace plimsoll
