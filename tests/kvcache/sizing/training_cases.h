// Plans for tests of training, which must be plans: a refusal aborts with its message.
#pragma once

#include <string>

#include "absl/strings/str_format.h"
#include "kvcache/base/check.h"
#include "kvcache/sizing/training_plan.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {

// One sequence of 1024 tokens on one GPU.
inline TrainingOptions Training(TrainingMethod method) {
  return {.method = method, .batch = 1, .sequence = Tokens(1024)};
}

template <class Model>
TrainingPlan Planned(const Model& model, const TrainingOptions& options) {
  absl::StatusOr<TrainingPlan> plan = PlanTraining(model, options);
  PLIMSOLL_CHECK(plan.ok(), plan.status().message());
  return *std::move(plan);
}

inline Bytes StatesOf(const TrainingPlan& plan) {
  return plan.weights_bytes + plan.gradients_bytes + plan.optimizer_bytes;
}

// The bytes of the term of that name; zero if the plan has none.
inline Bytes TermOf(const TrainingPlan& plan, const std::string& name) {
  Bytes bytes;
  for (const TrainingTerm& term : plan.formulas) {
    if (term.term == name) bytes += term.bytes;
  }
  return bytes;
}

// "256.5": as publications round, a half up.
inline std::string Rounded(Bytes bytes, int64_t unit, int decimals) {
  const int64_t scale = decimals == 0 ? 1 : decimals == 1 ? 10 : 100;
  const int64_t parts = (2 * bytes.value() * scale + unit) / (2 * unit);
  if (decimals == 0) return std::to_string(parts);
  return absl::StrFormat("%d.%0*d", parts / scale, decimals, parts % scale);
}
inline std::string InGiB(Bytes bytes, int decimals = 1) {
  return Rounded(bytes, 1 << 30, decimals);
}
inline std::string InGB(Bytes bytes, int decimals = 1) {
  return Rounded(bytes, 1'000'000'000, decimals);
}

}  // namespace plimsoll
