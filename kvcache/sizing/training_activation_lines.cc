#include "kvcache/sizing/training_activation_lines.h"

#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"

namespace plimsoll {
namespace {

int64_t DivisorOf(SplitBy split, const TrainingOptions& options) {
  const bool splits = split == SplitBy::kTensorParallel ||
                      (split == SplitBy::kSequenceParallel && options.sequence_parallel);
  return splits ? options.tensor_parallel : 1;
}

absl::Status TooMany(const TrainingOptions& options) {
  return BadField("batch x sequence",
                  std::to_string(options.batch) + " x " + std::to_string(options.sequence.value()),
                  "activations of at most 2^60 bytes");
}

std::string TokenText(const TrainingOptions& options) {
  return std::to_string(options.batch) + " x " + std::to_string(options.sequence.value()) +
         " tokens x ";
}

}  // namespace

absl::StatusOr<std::vector<TrainingTerm>> TermsOf(const std::vector<ActivationLine>& lines,
                                                  const TrainingOptions& options) {
  std::vector<TrainingTerm> terms;
  Bytes sum;
  for (const ActivationLine& line : lines) {
    if (line.per_token == 0) continue;
    const std::optional<int64_t> all =
        line.per_token ? CheckedProduct({options.batch, options.sequence.value(), *line.per_token})
                       : std::nullopt;
    if (!all) return TooMany(options);
    const int64_t divisor = DivisorOf(line.split, options);
    const Bytes bytes = Bytes(CeilDivide(*all, divisor));
    if (bytes > kMaxBytes - sum) return TooMany(options);
    sum += bytes;
    std::string formula = TokenText(options) + line.formula;
    if (divisor > 1) formula += " / " + std::to_string(divisor) + " GPUs";
    terms.push_back({TrainingGroup::kActivations, line.term, std::move(formula), bytes});
  }
  return terms;
}

}  // namespace plimsoll
