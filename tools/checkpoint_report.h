// What the files of a checkpoint hold beside what its configuration says, for people and programs.
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kvcache/model/stored_checkpoint.h"

namespace plimsoll {

// One sentence, and one more for each difference.
std::vector<std::string> CheckpointLines(const StoredCheckpoint& checkpoint);

// format, stored_as, files, elements, bytes, loaded_elements, loaded_bytes, parameters, agrees,
// types: [{type, tensors, elements, bytes}], differences: [{kind, what, tensors, elements, bytes}].
nlohmann::ordered_json CheckpointAsJson(const StoredCheckpoint& checkpoint);

}  // namespace plimsoll
