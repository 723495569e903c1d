// One line of a trace to one request: what differs between the formats.
//
// Threads: one parser, one thread. Cost: O(line). Errors: InvalidArgument naming field and value.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tools/replay/trace.h"

namespace plimsoll {

class TraceLineParser {
 public:
  virtual ~TraceLineParser() = default;
  // The arrival counts from a moment of the format's own choosing and is never negative.
  virtual absl::StatusOr<TraceRequest> Parse(const std::string& line) const = 0;
};

std::unique_ptr<TraceLineParser> MooncakeLines();
// The first line of a CSV file names its columns; others than those needed may be there.
absl::StatusOr<std::unique_ptr<TraceLineParser>> AzureLines(const std::string& header);
absl::StatusOr<std::unique_ptr<TraceLineParser>> LengthsLines(const std::string& header);

}  // namespace plimsoll
