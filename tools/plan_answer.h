// The answer of `plimsoll plan`: a plan and all that its report says, for the command and for
// servers that plan on request.
//
// Threads: pure. Cost: some hundred plans where one does not fit or curves are wanted. Errors:
// InvalidArgument naming the option or the model's field.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/plan_arguments.h"
#include "tools/plan_report.h"

namespace plimsoll {

// InvalidArgument, naming `sequences`, where one is out of range.
absl::Status CheckSequences(const std::vector<int64_t>& sequences);

// `sequences` are those wanted at once, each of the longest context; none in particular where it is
// empty.
absl::StatusOr<PlanReport> AnswerPlan(const PlanRequest& request,
                                      const std::vector<int64_t>& sequences, bool curves);

}  // namespace plimsoll
