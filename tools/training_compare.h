// `plan-training --compare A B ...`: the same training under several settings, side by side.
//
// Each argument is a model (a folder or file) or settings laid over the options that stand beside
// --compare: "method=qlora,zero=3,lora-targets=q_proj+v_proj". Their names are those of the
// options; a flag is set with "=true", and "+" stands where an option has commas. With one
// argument, the plan as given is the other side.
//
// Threads: none. Cost: a plan for each. Errors: InvalidArgument naming the argument.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/sizing/training_plan.h"
#include "tools/training_arguments.h"

namespace plimsoll {

struct ComparedTraining {
  std::string setting;  // the argument, or "as given"
  TrainingPlan plan;
};

inline constexpr size_t kMostComparedTrainings = 26;  // a letter each

absl::StatusOr<std::vector<ComparedTraining>> CompareTrainings(
    const TrainingArguments& base, const std::vector<std::string>& settings);

// A row for each group of terms, for host and disk, and for the GPUs needed; behind the first
// column each has its difference from it.
std::string TrainingComparisonAsText(const std::vector<ComparedTraining>& compared);
// {compare: [{setting, and the keys of a plan}]}
std::string TrainingComparisonAsJson(const std::vector<ComparedTraining>& compared);

}  // namespace plimsoll
