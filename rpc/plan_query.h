// What PlanCapacity is asked and what it answers, as values. A server that plans is given a planner
// by whoever starts it: the questions of `plimsoll plan` are answered in tools.
//
// Threads: values. Errors: a planner's are InvalidArgument naming the field.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"

namespace plimsoll {

// Zero and empty mean the default of `plimsoll plan`.
struct PlanQuery {
  std::string model_config = {};  // the text of a config.json
  std::string model_name = {};
  std::string gpu = {};
  Bytes memory = {};
  std::string weights = {}, kv = {};
  double utilization = 0;
  Bytes margin = {};
  int64_t block_tokens = 0;
  int64_t max_batched_tokens = 0;
  int64_t max_sequences = 0;
  int64_t tensor_parallel = 0, pipeline_parallel = 0, expert_parallel = 0;
  std::string draft_model_config = {};
  int64_t lookahead_tokens = 0;
  int64_t shared_prefix = 0;
  bool no_flash_attention = false;
  bool decompress_latent = false;
  std::vector<int64_t> contexts = {};
  int64_t sequences = 0;
};

struct PlanAnswer {
  bool fits = false;
  Blocks blocks;
  Tokens block_tokens;
  Bytes block_bytes, kv_pool_bytes, shortfall_bytes;
  std::string json;  // all of it
};

// Called from any thread.
using Planner = std::function<absl::StatusOr<PlanAnswer>(const PlanQuery&)>;

}  // namespace plimsoll
