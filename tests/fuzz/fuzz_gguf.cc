// Any bytes as the beginning of a GGUF file whose data is as long as its table wants.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kvcache/base/check.h"
#include "kvcache/model/gguf_header.h"
#include "kvcache/model/gguf_model.h"
#include "tests/fuzz/judge.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  constexpr int64_t kFileBytes = int64_t{1} << 48;
  const std::string_view head(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<GgufHeader> header = ParseGgufHeader(head, kFileBytes);
  if (!header.ok()) {
    JudgeRefusal(header.status());
    return 0;
  }
  Bytes sum;
  for (const GgufTensor& tensor : header->tensors) sum += tensor.bytes;
  PLIMSOLL_CHECK(sum <= Bytes(kFileBytes), sum);
  const absl::StatusOr<ModelConfig> model = ModelFromGguf(*header, "fuzz");
  if (!model.ok()) JudgeRefusal(model.status());
  if (model.ok()) {
    JudgeModel(*model);
    PLIMSOLL_CHECK(model->headers->all.bytes == sum, model->headers->all.bytes, sum);
  }
  return 0;
}
