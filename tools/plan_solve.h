// `plan --solve`: which question is asked, its answer in one sentence, and the table behind it.
//
// Threads: none. Cost: some hundred plans at most; with every GPU of the catalogue, some thousand.
// Errors: InvalidArgument naming the option.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/sizing/solve.h"
#include "tools/plan_arguments.h"
#include "tools/text_table.h"

namespace plimsoll {

struct SolveQuestion {
  std::string what;                // "sequences", "context", "gpus", "weights", "kv"
  std::vector<int64_t> sequences;  // as --sequences says
};

struct SolveAnswer {
  bool found;
  std::string sentence;
  std::vector<TextRow> table;  // its first row names the columns
  // question, answer, sentence, rows; wanted where that is one load.
  nlohmann::ordered_json json;
  InferenceOptions options;  // those asked about, with the answer where it is a setting
};

// `request` names a device unless the question is how many GPUs.
absl::StatusOr<SolveAnswer> Solve(const PlanRequest& request, const SolveQuestion& question);

std::string SolveAsText(const SolveAnswer& answer);

}  // namespace plimsoll
