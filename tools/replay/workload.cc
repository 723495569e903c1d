#include "tools/replay/workload.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

constexpr double kLongestReplay = 1e18;  // nanoseconds, 31 years

absl::Status CheckRange(const char* option, double value, bool zero_allowed, double most) {
  if ((value > 0 || (zero_allowed && value == 0)) && value <= most) return absl::OkStatus();
  return BadField(
      option, absl::StrFormat("%g", value),
      absl::StrFormat("%s and at most %g", zero_allowed ? "at least 0" : "more than 0", most));
}

absl::Status Check(const WorkloadOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("--speed", options.speed, false, 1e9));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("--arrivals", options.arrivals, false, 1e9));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("--prefill-rate", options.prefill_rate, false, 1e12));
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("--decode-ms", options.decode_ms, true, 1e9));
  return CheckRange("--scale-lengths", options.scale_lengths, false, 1e6);
}

Tokens Scaled(Tokens length, double factor) {
  if (length == Tokens(0)) return length;
  const double scaled = std::round(static_cast<double>(length.value()) * factor);
  return Tokens(static_cast<int64_t>(std::clamp(scaled, 1.0, static_cast<double>(kMaxTokens))));
}

Duration Nanoseconds(double n) { return Duration(std::llround(n)); }

}  // namespace

double Workload::TokenTime(const ReplayRequest& request) const {
  const double prompt = static_cast<double>(request.prompt.value());
  const double output = static_cast<double>(request.output.value());
  // Output token i of n is there for n - i steps.
  return static_cast<double>(decode_step.count()) * (prompt * output + output * (output - 1) / 2);
}

absl::StatusOr<Workload> MakeWorkload(std::span<const TraceRequest> trace,
                                      const WorkloadOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(Check(options));
  const double step = options.decode_ms * 1e6 / options.speed;
  const double pace = options.speed * options.arrivals;  // of arrivals
  double end = trace.empty() ? 0 : static_cast<double>(trace.back().arrival.count()) / pace;
  Workload workload{.requests = {}, .decode_step = Duration::zero()};
  for (const TraceRequest& from : trace) {
    const Tokens prompt = Scaled(from.prompt, options.scale_lengths);
    const Tokens output =
        std::max(Scaled(from.output, options.scale_lengths), options.least_output);
    const double prefill =
        static_cast<double>(prompt.value()) / options.prefill_rate / options.speed * 1e9;
    end += prefill + step * static_cast<double>(output.value()) + 1;
    if (!(end < kLongestReplay)) {
      return absl::InvalidArgumentError(
          "the trace: its requests would take more than 31 years one after the other; "
          "raise --speed or lower --decode-ms");
    }
    workload.requests.push_back(
        {.arrival = Nanoseconds(static_cast<double>(from.arrival.count()) / pace),
         .prompt = prompt,
         .output = output,
         .prefill = Nanoseconds(prefill),
         .hash_ids = options.scale_lengths == 1.0 ? from.hash_ids : std::vector<uint64_t>()});
  }
  workload.decode_step = Nanoseconds(step);
  return workload;
}

}  // namespace plimsoll
