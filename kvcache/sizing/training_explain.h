// One term of a training plan, derived: the formula in symbols, why the term is there, the formula
// with this plan's numbers, and what it comes to.
//
// Every term that stands in the plan's formulas can be explained, and each group, and "total". A
// term that offload has moved is explained under the name that it has there ("host_moments").
//
// Threads: pure. Cost: some strings. Errors: InvalidArgument for a term that the plan lacks,
// listing those it has.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/sizing/explain.h"
#include "kvcache/sizing/training_plan.h"

namespace plimsoll {

std::vector<std::string> ExplainableTerms(const TrainingPlan& plan);

absl::StatusOr<Explanation> ExplainTerm(const TrainingPlan& plan, std::string_view term);

}  // namespace plimsoll
