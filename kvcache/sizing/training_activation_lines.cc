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

std::string InFlightText(int64_t in_flight, int64_t chunks) {
  if (chunks == 1) return " x " + std::to_string(in_flight) + " microbatches in flight";
  return " x " + std::to_string(in_flight) + " chunks in flight / " + std::to_string(chunks);
}

}  // namespace

absl::StatusOr<std::vector<TrainingTerm>> TermsOf(const std::vector<ActivationLine>& lines,
                                                  const TrainingOptions& options,
                                                  const TrainingStage& stage) {
  std::vector<TrainingTerm> terms;
  Bytes sum;
  for (const ActivationLine& line : lines) {
    if (line.per_token == 0) continue;
    const int64_t in_flight = line.of_layers ? stage.chunks_in_flight : 1;
    const int64_t chunks = line.of_layers ? stage.chunks : 1;
    const std::optional<int64_t> all =
        line.per_token
            ? CheckedProduct({options.batch, options.sequence.value(), *line.per_token, in_flight})
            : std::nullopt;
    if (!all) return TooMany(options);
    const int64_t divisor = DivisorOf(line.split, options);
    const Bytes bytes = Bytes(CeilDivide(*all, divisor * chunks));
    if (bytes > kMaxBytes - sum) return TooMany(options);
    sum += bytes;
    std::string formula = TokenText(options) + line.formula;
    if (in_flight > chunks) formula += InFlightText(in_flight, chunks);
    if (divisor > 1) formula += " / " + std::to_string(divisor) + " GPUs";
    terms.push_back({TrainingGroup::kActivations, line.term, std::move(formula), bytes});
  }
  return terms;
}

}  // namespace plimsoll
