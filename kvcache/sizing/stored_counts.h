// The three numbers that people call a model's parameters, and why they differ.
//
//   unique   parameters, each once: a head that is the embedding again counts no second time
//   stored   elements of all tensors in the checkpoint: with parts that serving leaves out, with
//            scales, with what 4-bit numbers are packed into, with buffers that some versions saved
//   hub      what the Hugging Face Hub shows today: stored, but quantised numbers one by one and
//            without their scales. For some models it still shows an older figure that has them.
//
// From a configuration alone some of it cannot be known: whether a tied head was saved again, or a
// buffer that the model could compute. Where such a thing is possible, `stored` and `hub` are empty
// until the checkpoint's headers are read, and it is listed as possible.
//
// Threads: pure. Cost: O(tensors). Errors: none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/model/model_config.h"

namespace plimsoll {

struct StoredExtra {
  std::string what;                 // "prediction block", "scales of quantised matrices"
  std::optional<int64_t> elements;  // fewer than none, where packing makes many into one
  bool certain = true;              // else only headers tell whether it is there
  bool on_hub = true;               // counted in what the Hub shows
};

struct StoredCounts {
  int64_t unique = 0;
  std::optional<int64_t> stored = std::nullopt, hub = std::nullopt;
  std::vector<StoredExtra> extras = {};
};

StoredCounts CountsOf(const ModelConfig& model);

}  // namespace plimsoll
