// A row is drawn by one thread, which keeps its list of candidates from call to call.
#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "engine/ops/cpu_threads.h"
#include "engine/ops/sampler.h"
#include "kvcache/base/check.h"

namespace plimsoll::cpu {
namespace {

void SampleRows(const SampleArgs& args, int64_t begin, int64_t end) {
  static thread_local std::vector<Candidate> candidates;
  candidates.reserve(static_cast<size_t>(args.vocab));  // the first time only
  for (int64_t r = begin; r < end; ++r) {
    const std::span row(args.logits + r * args.vocab, static_cast<size_t>(args.vocab));
    args.tokens[r] = SampleToken(row, args.draws[r], candidates);
  }
}

}  // namespace

absl::Status Sample(const SampleArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  CpuThreads().ParallelFor(args.rows, /*grain=*/1,
                           [&](int64_t begin, int64_t end) { SampleRows(args, begin, end); });
  return absl::OkStatus();
}

}  // namespace plimsoll::cpu
