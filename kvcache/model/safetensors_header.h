// The header of a safetensors file: JSON that names tensors, checked before anything is believed.
//
//   8 bytes, little-endian: length of the header | the header | the tensors, back to back
//
// Invariants of a header that was accepted: names are unique; every tensor's bytes lie inside the
// file, are as many as its shape and type say, and overlap no other's; together they cover the
// file. The data itself is never read here.
//
// Threads: pure. Cost: O(header), of at most 100 MB. Errors: InvalidArgument with tensor, field and
// value for a file that is not what it says; Internal when reading fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"

namespace plimsoll {

struct StoredTensor {
  std::string dtype;  // as the format spells it: "BF16"
  std::vector<int64_t> shape;
  int64_t offset = 0;  // of the first byte, from the start of the file
  Bytes bytes;

  int64_t Elements() const;
};

using StoredTensors = std::map<std::string, StoredTensor>;  // by name

// Bits of one element for every type of the format; nullopt for a name that is not of it.
std::optional<int> BitsOfDtype(std::string_view dtype);
// The types that a decoder can use: F32, F16, BF16.
std::optional<ElementType> ElementTypeOfDtype(std::string_view dtype);
std::string_view DtypeOf(ElementType type);  // of kFp32, kFp16 and kBf16 only

// `text` is the JSON alone. Offsets are counted from the start of the file: the data begins at
// `data_start` and is `data_bytes` long.
absl::StatusOr<StoredTensors> ParseSafetensorsHeader(std::string_view text, int64_t data_start,
                                                     int64_t data_bytes);

// Of the open file `fd`, which stays open; its position does not matter.
absl::StatusOr<StoredTensors> ReadSafetensorsHeader(int fd);

// Fills `out` from `offset` on; an error where the file ends before.
absl::Status ReadAt(int fd, int64_t offset, std::span<std::byte> out);

}  // namespace plimsoll
