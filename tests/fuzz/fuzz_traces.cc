// Any text as a trace, in each of its formats and in the one that its first line tells, and lines
// of numbers that the bytes choose. What is accepted keeps what the reader promises.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>

#include "kvcache/base/check.h"
#include "kvcache/sizing/block_demand.h"
#include "tests/fuzz/choices.h"
#include "tests/fuzz/judge.h"
#include "tools/replay/trace.h"

namespace plimsoll {
namespace {

void JudgeTrace(const std::vector<TraceRequest>& requests) {
  Duration before = Duration::zero();
  for (const TraceRequest& request : requests) {
    PLIMSOLL_CHECK(request.arrival >= before, request.arrival.count());
    before = request.arrival;
    PLIMSOLL_CHECK(request.prompt >= Tokens(1) && request.prompt <= Tokens(kMaxTokens),
                   request.prompt);
    PLIMSOLL_CHECK(request.output >= Tokens(0) && request.output <= Tokens(kMaxTokens),
                   request.output);
  }
  PLIMSOLL_CHECK(requests.empty() || requests.front().arrival == Duration::zero());
}

std::string LinesOfNumbers(Choices& choices) {
  std::string lines;
  while (!choices.over()) {
    lines += "{\"timestamp\": " + std::to_string(choices.Number(4000)) +
             ", \"input_length\": " + std::to_string(choices.Number(1000)) +
             ", \"output_length\": " + std::to_string(choices.Number(1000)) + "}\n";
  }
  return lines;
}

}  // namespace
}  // namespace plimsoll

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  if (size == 0) return 0;
  static constexpr std::array<std::optional<TraceFormat>, 4> kFormats = {
      std::nullopt, TraceFormat::kMooncake, TraceFormat::kAzure, TraceFormat::kLengths};
  Choices choices(data + 1, size - 1);
  std::istringstream in(data[0] < 128
                            ? std::string(reinterpret_cast<const char*>(data) + 1, size - 1)
                            : LinesOfNumbers(choices));
  const absl::StatusOr<std::vector<TraceRequest>> requests =
      ReadTrace(in, "fuzz", kFormats[data[0] % kFormats.size()]);
  if (requests.ok()) JudgeTrace(*requests);
  if (!requests.ok()) JudgeRefusal(requests.status());
  return 0;
}
