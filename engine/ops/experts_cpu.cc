// The plan: expert by expert, the rows that chose it are copied together, go through its three
// matrices as any other rows would, and are added where they belong. A row meets its experts in
// order of their numbers, so its sum does not depend on who else is in the call.
#include <algorithm>

#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "kvcache/base/check.h"

namespace plimsoll::cpu {
namespace {

// Copies the rows that chose `expert` together and notes which choices those were.
int64_t Gather(const ExpertsArgs& args, int64_t expert) {
  const int64_t hidden = args.experts[0].gate.cols;
  int64_t count = 0;
  for (int64_t i = 0; i < args.rows * args.choices; ++i) {
    if (args.chosen[i] != expert) continue;
    PLIMSOLL_CHECK(count < args.rows, count, expert);  // twice in a row
    std::copy_n(args.x + i / args.choices * hidden, hidden, args.scratch.gathered + count * hidden);
    args.scratch.picked[count++] = static_cast<int32_t>(i);
  }
  return count;
}

absl::Status Mix(const ExpertsArgs& args, const ExpertWeights& expert, int64_t rows) {
  const ExpertScratch& scratch = args.scratch;
  const auto multiply = [&](const WeightView& weight, const float* x, float* out) {
    return Linear(
        {.x = x, .rows = rows, .weight = weight, .bias = {}, .accumulate = false, .out = out});
  };
  PLIMSOLL_RETURN_IF_ERROR(multiply(expert.gate, scratch.gathered, scratch.gate));
  PLIMSOLL_RETURN_IF_ERROR(multiply(expert.up, scratch.gathered, scratch.up));
  PLIMSOLL_RETURN_IF_ERROR(GatedActivation({.gate = scratch.gate,
                                            .up = scratch.up,
                                            .count = rows * expert.gate.rows,
                                            .activation = args.activation,
                                            .out = scratch.gate}));
  return multiply(expert.down, scratch.gate, scratch.mixed);
}

void Scatter(const ExpertsArgs& args, int64_t rows) {
  const int64_t hidden = args.experts[0].gate.cols;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t choice = args.scratch.picked[i];
    const float share = args.shares[choice];
    const float* const mixed = args.scratch.mixed + i * hidden;
    float* const out = args.out + choice / args.choices * hidden;
    for (int64_t c = 0; c < hidden; ++c) out[c] += share * mixed[c];
  }
}

}  // namespace

absl::Status Experts(const ExpertsArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  for (int64_t e = 0; e < args.count; ++e) {
    const int64_t rows = Gather(args, e);
    if (rows == 0) continue;
    PLIMSOLL_RETURN_IF_ERROR(Mix(args, args.experts[e], rows));
    Scatter(args, rows);
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::cpu
