// Traces of real traffic: when each request came and how long it was.
//
// Three formats, told apart by the first line:
//   mooncake  JSON lines: {"timestamp": ms, "input_length": n, "output_length": n, "hash_ids": []}
//   azure     CSV: TIMESTAMP,ContextTokens,GeneratedTokens; the time is a date and a time of day
//   lengths   CSV: num_prefill_tokens,num_decode_tokens,...; no arrivals: all come at once
//
// Requests are in the order of the file, and a file whose times run backwards is refused: sorting
// it would hide that it is damaged. Equal times are ordinary. Arrivals count from the first one.
// A prompt has 1 to kMaxTokens tokens, an output 0 (prefill only) to kMaxTokens. hash_ids says what
// the prompt begins with: one id for each 512 tokens, the last, shorter stretch included, standing
// for these tokens and all before them.
//
// Threads: pure but for reading the file. Cost: O(file), one line in memory at a time.
// Errors: InvalidArgument naming file, line, field and value.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"

namespace plimsoll {

enum class TraceFormat : uint8_t { kMooncake, kAzure, kLengths };

// "mooncake", "azure", "lengths".
std::optional<TraceFormat> TraceFormatFromName(std::string_view name);

struct TraceRequest {
  Duration arrival;  // after the first request's
  Tokens prompt;
  Tokens output;
  std::vector<uint64_t> hash_ids = {};  // empty where the trace says nothing

  friend bool operator==(const TraceRequest&, const TraceRequest&) = default;
};

// Reads the first `limit` requests. Without a format, the first line tells it.
absl::StatusOr<std::vector<TraceRequest>> ReadTrace(const std::string& path,
                                                    std::optional<TraceFormat> format,
                                                    std::optional<int64_t> limit = std::nullopt);

// The same from a stream; `name` goes into messages.
absl::StatusOr<std::vector<TraceRequest>> ReadTrace(std::istream& in, const std::string& name,
                                                    std::optional<TraceFormat> format,
                                                    std::optional<int64_t> limit = std::nullopt);

// What of a trace is replayed.
struct TraceCut {
  std::optional<Tokens> longest = std::nullopt;  // requests with more tokens in all are left out
  std::optional<int64_t> limit = std::nullopt;   // then only so many, from the first on
};

// Several traces one after another, each cut; the arrivals of each count from the last one of the
// trace before.
absl::StatusOr<std::vector<TraceRequest>> ReadTraces(const std::vector<std::string>& paths,
                                                     std::optional<TraceFormat> format,
                                                     const TraceCut& cut);

}  // namespace plimsoll
