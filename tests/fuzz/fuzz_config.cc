// Any text as a config.json.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kvcache/model/config_reader.h"
#include "tests/fuzz/judge.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<ModelConfig> model = ParseModelConfig(text, "fuzz");
  if (model.ok()) JudgeModel(*model);
  if (!model.ok()) JudgeRefusal(model.status());
  return 0;
}
