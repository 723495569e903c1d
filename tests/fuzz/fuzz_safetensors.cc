// Any bytes as a safetensors file: a length, a header, the data.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kvcache/base/check.h"
#include "kvcache/model/safetensors_header.h"
#include "tests/fuzz/judge.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  if (size < 8) return 0;
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | data[i];
  if (length > size - 8) return 0;
  const std::string_view header(reinterpret_cast<const char*>(data) + 8, length);
  const auto rest = static_cast<int64_t>(size - 8 - length);
  const auto start = static_cast<int64_t>(8 + length);
  const absl::StatusOr<StoredTensors> tensors = ParseSafetensorsHeader(header, start, rest);
  if (!tensors.ok()) {
    JudgeRefusal(tensors.status());
    return 0;
  }
  Bytes sum;
  for (const auto& [name, tensor] : *tensors) sum += tensor.bytes;
  PLIMSOLL_CHECK(sum == Bytes(rest), sum, rest);
  return 0;
}
