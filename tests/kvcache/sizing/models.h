// Models for tests of sizing.
#pragma once

#include <string>

#include "kvcache/base/check.h"
#include "kvcache/model/config_reader.h"
#include "tests/kvcache/model/other_published_models.h"
#include "tests/kvcache/model/published_models.h"

namespace plimsoll {

// A published model by name.
inline ModelConfig ModelNamed(std::string_view name) {
  absl::StatusOr<ModelConfig> model = ParseModelConfig(Published(name).config, std::string(name));
  PLIMSOLL_CHECK(model.ok(), model.status().message());
  return *std::move(model);
}

inline ModelConfig OtherModelNamed(std::string_view name) {
  for (const PublishedModel& published : kOtherPublishedModels) {
    if (published.name != name) continue;
    return *ParseModelConfig(published.config, std::string(name));
  }
  CheckFailed(__FILE__, __LINE__, "a row of that name", std::string(name));
}

inline ModelConfig Llama31() { return ModelNamed("meta-llama/Llama-3.1-8B"); }
inline ModelConfig Llama7B() { return ModelNamed("huggyllama/llama-7b"); }

}  // namespace plimsoll
