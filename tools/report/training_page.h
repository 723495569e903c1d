// A training plan as a page for people: what one GPU holds in one sentence, its memory as a bar,
// the states at each ZeRO stage, activations over sequence length and batch, and every term with
// its formula.
//
// Threads: pure. Cost: builds a string of about 220 KB. Errors: none.
#pragma once

#include <string>
#include <vector>

#include "kvcache/sizing/training_curves.h"
#include "kvcache/sizing/training_fits.h"
#include "kvcache/sizing/training_plan.h"

namespace plimsoll {

// `fits`: for a plan with a shortfall, what would fit.
std::string TrainingAsHtml(const TrainingPlan& plan, const std::vector<TrainingFit>& fits,
                           const TrainingCurves& curves);

}  // namespace plimsoll
