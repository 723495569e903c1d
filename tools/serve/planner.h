// Answers PlanCapacity with what `plimsoll plan` would say.
//
// Threads: any. Cost: as AnswerPlan. Errors: InvalidArgument naming the field of the query, or that
// of the model's configuration.
#pragma once

#include "absl/status/statusor.h"
#include "rpc/plan_query.h"

namespace plimsoll {

absl::StatusOr<PlanAnswer> PlanForCaller(const PlanQuery& query);

}  // namespace plimsoll
