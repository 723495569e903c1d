#include "kvcache/model/extent.h"

#include <algorithm>

#include "kvcache/base/units.h"

namespace plimsoll {

std::optional<int64_t> UnitsOfOne(const SplitPart& part, int64_t gpus) {
  if (part.unit == SplitUnit::kWhole) return part.count;
  if (part.unit == SplitUnit::kVocabulary) return CeilDivide(part.count, gpus);
  if (part.count % gpus == 0) return part.count / gpus;
  const bool shared = part.unit == SplitUnit::kKvHead && gpus % part.count == 0;
  return shared ? std::optional<int64_t>(1) : std::nullopt;
}

std::optional<int64_t> ElementsOfOne(const std::vector<SplitPart>& parts, int64_t gpus) {
  int64_t elements = 0;
  for (const SplitPart& part : parts) {
    const std::optional<int64_t> units = UnitsOfOne(part, gpus);
    if (!units) return std::nullopt;
    elements += *units * part.each;
  }
  return elements;
}

int64_t Extent::size() const {
  int64_t size = 0;
  for (const SplitPart& part : parts_) size += part.size();
  return size;
}

bool Extent::divides() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const SplitPart& part) { return part.unit != SplitUnit::kWhole; });
}

Extent operator+(Extent a, const Extent& b) {
  a.parts_.insert(a.parts_.end(), b.parts_.begin(), b.parts_.end());
  return a;
}

Extent operator*(Extent a, int64_t times) {
  for (SplitPart& part : a.parts_) part.each *= times;
  return a;
}

Extent ByHead(int64_t heads, int64_t dim) { return Extent({SplitUnit::kHead, heads, dim}); }

Extent ByKvHead(int64_t heads, int64_t dim) { return Extent({SplitUnit::kKvHead, heads, dim}); }

Extent ByInner(int64_t width) { return Extent({SplitUnit::kInner, width, 1}); }

Extent ByVocabulary(int64_t words) { return Extent({SplitUnit::kVocabulary, words, 1}); }

}  // namespace plimsoll
