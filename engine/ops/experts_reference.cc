#include <vector>

#include "engine/ops/arguments.h"
#include "engine/ops/reference.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {
namespace {

absl::Status Multiply(const WeightView& weight, const float* x, std::vector<float>& out) {
  out.resize(static_cast<size_t>(weight.rows));
  return Linear(
      {.x = x, .rows = 1, .weight = weight, .bias = {}, .accumulate = false, .out = out.data()});
}

// One expert of one row.
absl::Status Mix(const ExpertWeights& expert, Activation activation, const float* x,
                 std::vector<float>& out) {
  std::vector<float> gate, up;
  PLIMSOLL_RETURN_IF_ERROR(Multiply(expert.gate, x, gate));
  PLIMSOLL_RETURN_IF_ERROR(Multiply(expert.up, x, up));
  PLIMSOLL_RETURN_IF_ERROR(GatedActivation({.gate = gate.data(),
                                            .up = up.data(),
                                            .count = std::ssize(gate),
                                            .activation = activation,
                                            .out = gate.data()}));
  return Multiply(expert.down, gate.data(), out);
}

}  // namespace

absl::Status Experts(const ExpertsArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const int64_t hidden = args.experts[0].gate.cols;
  std::vector<float> mixed;
  for (int64_t r = 0; r < args.rows; ++r) {
    std::vector<double> sums(static_cast<size_t>(hidden), 0.0);
    for (int64_t i = r * args.choices; i < (r + 1) * args.choices; ++i) {
      const ExpertWeights& expert = args.experts[args.chosen[i]];
      PLIMSOLL_RETURN_IF_ERROR(Mix(expert, args.activation, args.x + r * hidden, mixed));
      for (size_t c = 0; c < sums.size(); ++c) sums[c] += double{args.shares[i]} * mixed[c];
    }
    float* const out = args.out + r * hidden;
    for (size_t c = 0; c < sums.size(); ++c) out[c] = static_cast<float>(out[c] + sums[c]);
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
