// Reads a model from whatever of it is at hand: its config.json, its folder, or a GGUF file.
//
//   a config.json        what it says
//   a model folder       what its config.json says, and what the headers of its safetensors files
//                        hold, if there are any: they are then the truth of the weights' bytes
//   a GGUF file          its header, and those of its other parts; also of a folder with one GGUF
//                        file and no config.json
//
// Threads: pure. Cost: O(configuration + headers); no tensor's data is read. Errors: as
// config_reader.h, safetensors_folder.h, gguf_model.h.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

absl::StatusOr<ModelConfig> ReadModel(const std::string& path);

}  // namespace plimsoll
