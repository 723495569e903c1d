#include "tools/replay/trace.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <istream>
#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "kvcache/base/errors.h"
#include "tools/replay/trace_line.h"

namespace plimsoll {
namespace {

constexpr char kAzureHeader[] = "TIMESTAMP,";
constexpr char kLengthsHeader[] = "num_prefill_tokens,";

absl::StatusOr<TraceFormat> FormatOf(const std::string& first_line) {
  if (first_line.front() == '{') return TraceFormat::kMooncake;
  if (first_line.rfind(kAzureHeader, 0) == 0) return TraceFormat::kAzure;
  if (first_line.rfind(kLengthsHeader, 0) == 0) return TraceFormat::kLengths;
  return BadField("first line", Excerpt(first_line),
                  absl::StrFormat("a JSON object, or a header with %s... or %s...", kAzureHeader,
                                  kLengthsHeader));
}

absl::StatusOr<std::unique_ptr<TraceLineParser>> ParserFor(TraceFormat format,
                                                           const std::string& first_line) {
  switch (format) {
    case TraceFormat::kMooncake:
      return MooncakeLines();
    case TraceFormat::kAzure:
      return AzureLines(first_line);
    case TraceFormat::kLengths:
      return LengthsLines(first_line);
  }
  PLIMSOLL_CHECK(false, static_cast<int>(format));
}

// The lines of a stream that hold something, without carriage returns, and where it is.
class Lines {
 public:
  Lines(std::istream& in, const std::string& name) : in_(in), name_(name) {}

  bool Next(std::string& line) {
    while (std::getline(in_, line)) {
      ++number_;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (!line.empty()) return true;
    }
    return false;
  }
  absl::Status At(const absl::Status& status) const {
    return Annotate(status, absl::StrFormat("%s line %d", name_, number_));
  }

 private:
  std::istream& in_;
  const std::string& name_;
  int64_t number_ = 0;
};

// Turns arrivals into times since the first; false where `next` is earlier than its predecessor.
class ArrivalOrder {
 public:
  bool Accept(TraceRequest& next) {
    if (!first_) first_ = latest_ = next.arrival;
    if (next.arrival < latest_) return false;
    latest_ = next.arrival;
    next.arrival -= *first_;
    return true;
  }

 private:
  std::optional<Duration> first_;
  Duration latest_ = Duration::zero();
};

}  // namespace

std::optional<TraceFormat> TraceFormatFromName(std::string_view name) {
  if (name == "mooncake") return TraceFormat::kMooncake;
  if (name == "azure") return TraceFormat::kAzure;
  if (name == "lengths") return TraceFormat::kLengths;
  return std::nullopt;
}

absl::StatusOr<std::vector<TraceRequest>> ReadTrace(std::istream& in, const std::string& name,
                                                    std::optional<TraceFormat> format,
                                                    std::optional<int64_t> limit) {
  Lines lines(in, name);
  std::string line;
  if (!lines.Next(line)) return absl::InvalidArgumentError(name + ": no requests: it is empty");
  if (!format) {
    const absl::StatusOr<TraceFormat> found = FormatOf(line);
    if (!found.ok()) return lines.At(found.status());
    format = *found;
  }
  const auto parser = ParserFor(*format, line);
  if (!parser.ok()) return lines.At(parser.status());

  std::vector<TraceRequest> requests;
  ArrivalOrder order;
  bool more = format == TraceFormat::kMooncake || lines.Next(line);
  while (more && (!limit || std::ssize(requests) < *limit)) {
    absl::StatusOr<TraceRequest> request = (*parser)->Parse(line);
    if (!request.ok()) return lines.At(request.status());
    if (!order.Accept(*request)) {
      return lines.At(absl::InvalidArgumentError(
          "this request came before the one above it: want times that do not run backwards"));
    }
    requests.push_back(*std::move(request));
    more = lines.Next(line);
  }
  if (requests.empty()) return absl::InvalidArgumentError(name + ": no requests after the header");
  return requests;
}

absl::StatusOr<std::vector<TraceRequest>> ReadTrace(const std::string& path,
                                                    std::optional<TraceFormat> format,
                                                    std::optional<int64_t> limit) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (in) in.peek();  // opening a folder works, reading it does not
  if (!in && errno != 0) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: %s", path, std::strerror(errno)));
  }
  in.clear();
  return ReadTrace(in, path, format, limit);
}

absl::StatusOr<std::vector<TraceRequest>> ReadTraces(const std::vector<std::string>& paths,
                                                     std::optional<TraceFormat> format,
                                                     const TraceCut& cut) {
  std::vector<TraceRequest> all;
  for (const std::string& path : paths) {
    // What is left out does not count, so there is no knowing how far to read.
    auto trace = ReadTrace(path, format, cut.longest ? std::nullopt : cut.limit);
    if (!trace.ok()) return trace.status();
    if (cut.longest) {
      std::erase_if(*trace, [&](const TraceRequest& request) {
        return request.prompt + request.output > *cut.longest;
      });
      if (cut.limit && *cut.limit < std::ssize(*trace)) {
        trace->resize(static_cast<size_t>(*cut.limit));
      }
    }
    if (trace->empty()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: no request of at most %d tokens in all", path, cut.longest->value()));
    }
    const Duration from = all.empty() ? Duration::zero() : all.back().arrival;
    for (TraceRequest& request : *trace) {
      request.arrival += from;
      all.push_back(std::move(request));
    }
  }
  return all;
}

}  // namespace plimsoll
