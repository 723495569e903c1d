// One dimension of a tensor, and how it divides over GPUs that share each layer.
//
// A dimension is parts one after the other: a fused matrix of q, k and v has three. A part is a
// number of units that are never cut: a head, one value between the matrices of an MLP, one row of
// the vocabulary. Over t GPUs
//
//   kWhole       every GPU has all of it
//   kHead        count / t units; t divides count
//   kKvHead      count / t units, or one where t is a multiple of count: several GPUs have the same
//   kInner       count / t units; t divides count
//   kVocabulary  ceil(count / t) units: the last GPU's rows are padded
//
// A plain number is a dimension that does not divide.
//
// Threads: values. Cost: a short vector. Errors: a division that is not exact is nullopt.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace plimsoll {

enum class SplitUnit : uint8_t { kWhole, kHead, kKvHead, kInner, kVocabulary };

struct SplitPart {
  SplitUnit unit = SplitUnit::kWhole;
  int64_t count = 0;
  int64_t each = 1;  // elements of one unit

  int64_t size() const { return count * each; }
};

// The units of `part` that each of `gpus` has; nullopt where it does not divide so.
std::optional<int64_t> UnitsOfOne(const SplitPart& part, int64_t gpus);
// Elements of `parts` that each of `gpus` has.
std::optional<int64_t> ElementsOfOne(const std::vector<SplitPart>& parts, int64_t gpus);

class Extent {
 public:
  Extent(int64_t size) : parts_({{.count = size}}) {}  // NOLINT(google-explicit-constructor)
  explicit Extent(const SplitPart& part) : parts_({part}) {}

  int64_t size() const;
  bool divides() const;  // some part of it does
  const std::vector<SplitPart>& parts() const { return parts_; }

  // One after the other.
  friend Extent operator+(Extent a, const Extent& b);
  // Units `times` as large.
  friend Extent operator*(Extent a, int64_t times);

 private:
  std::vector<SplitPart> parts_;
};

// `heads` heads of `dim` values.
Extent ByHead(int64_t heads, int64_t dim);
Extent ByKvHead(int64_t heads, int64_t dim);
// `width` values between two matrices.
Extent ByInner(int64_t width);
Extent ByVocabulary(int64_t words);

}  // namespace plimsoll
