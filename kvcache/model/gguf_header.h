// The header of a GGUF file: what the model is, and a table of its tensors.
//
//   "GGUF" | version 2 or 3 | counts | metadata: key, type, value | table: name, extents, type,
//   place | padding | the tensors, each at a multiple of general.alignment
//
// Little-endian throughout. Invariants of a header that was accepted: keys and names are unique;
// every type is known; each tensor begins where the one before it and its padding end, and all of
// them lie inside the file. The data itself is never read.
//
// Threads: pure. Cost: O(header), of at most 64 MiB, of which lists (a vocabulary) are skipped.
// Errors: InvalidArgument with key or tensor, value and what is wanted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"
#include "kvcache/model/gguf_types.h"

namespace plimsoll {

// A list: how long it is and, of a short one of whole numbers or truth values, what is in it.
struct GgufList {
  int64_t length = 0;
  std::vector<int64_t> values = {};  // empty, or `length` of them
};

// Truth values and whole numbers are int64_t.
using GgufValue = std::variant<int64_t, double, std::string, GgufList>;

struct GgufTensor {
  std::string name;
  const GgufType* type;
  std::vector<int64_t> shape;  // row-major: the last extent is that of a row
  int64_t elements;
  Bytes bytes;
};

struct GgufHeader {
  std::map<std::string, GgufValue> metadata;
  std::vector<GgufTensor> tensors;  // as the table has them
  int64_t files = 1;
};

// `head` is the beginning of a file of `file_bytes`. OutOfRange where it ends before the header
// does, though the file goes on: read more.
absl::StatusOr<GgufHeader> ParseGgufHeader(std::string_view head, int64_t file_bytes);

// Messages begin with `path`.
absl::StatusOr<GgufHeader> ReadGgufHeader(const std::string& path);

}  // namespace plimsoll
