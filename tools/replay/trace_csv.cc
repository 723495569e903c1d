#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"
#include "tools/replay/trace_line.h"

namespace plimsoll {
namespace {

using Fields = std::vector<std::string>;

// Where each column of `names` stands in `header`.
absl::StatusOr<std::vector<size_t>> ColumnsOf(const std::string& header, const Fields& names) {
  const Fields columns = absl::StrSplit(header, ',');
  std::vector<size_t> places;
  for (const std::string& name : names) {
    const auto found = std::find(columns.begin(), columns.end(), name);
    if (found == columns.end()) return BadField("header", Excerpt(header), "a column " + name);
    places.push_back(static_cast<size_t>(found - columns.begin()));
  }
  return places;
}

// The fields of `line` that stand in `places`, or which of them is not there.
absl::StatusOr<Fields> Pick(const std::string& line, const std::vector<size_t>& places) {
  const Fields all = absl::StrSplit(line, ',');
  Fields picked;
  for (const size_t place : places) {
    if (place >= all.size()) {
      return BadField("line", Excerpt(line), absl::StrFormat("at least %d columns", place + 1));
    }
    picked.push_back(all[place]);
  }
  return picked;
}

// All of `text` as digits, or nothing.
std::optional<int64_t> Digits(std::string_view text) {
  int64_t n = 0;
  const char* const end = text.data() + text.size();
  if (text.empty() || text.front() == '-') return std::nullopt;
  const auto [stop, error] = std::from_chars(text.data(), end, n);
  if (error != std::errc() || stop != end) return std::nullopt;
  return n;
}

absl::StatusOr<Tokens> TokensIn(const std::string& text, const char* field, int64_t least) {
  const std::optional<int64_t> n = Digits(text);
  if (n && *n >= least && *n <= kMaxTokens) return Tokens(*n);
  return BadField(field, Excerpt(text),
                  absl::StrFormat("a whole number from %d to %d", least, kMaxTokens));
}

// "2023-11-16" as days since 1970, for the years that nanoseconds since then can hold.
std::optional<std::chrono::sys_days> DateIn(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = Digits(text.substr(0, 4));
  const auto month = Digits(text.substr(5, 2));
  const auto day = Digits(text.substr(8, 2));
  if (!year || !month || !day || *year < 1970 || *year > 2200) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

// "6805900" after a point as a part of a second: at most nine digits.
std::optional<Duration> FractionIn(std::string_view text) {
  if (text.size() > 9) return std::nullopt;
  const auto n = Digits(std::string(text) + std::string(9 - text.size(), '0'));
  if (!n || text.empty()) return std::nullopt;
  return Duration(*n);
}

// "18:15:46.6805900"; the fraction may be absent.
std::optional<Duration> TimeOfDayIn(std::string_view text) {
  if (text.size() < 8 || text[2] != ':' || text[5] != ':') return std::nullopt;
  const auto hours = Digits(text.substr(0, 2));
  const auto minutes = Digits(text.substr(3, 2));
  const auto seconds = Digits(text.substr(6, 2));
  if (!hours || !minutes || !seconds || *hours > 23 || *minutes > 59 || *seconds > 59) {
    return std::nullopt;
  }
  const Duration whole =
      std::chrono::hours(*hours) + std::chrono::minutes(*minutes) + std::chrono::seconds(*seconds);
  if (text.size() == 8) return whole;
  const auto fraction = text[8] == '.' ? FractionIn(text.substr(9)) : std::nullopt;
  if (!fraction) return std::nullopt;
  return whole + *fraction;
}

// "2023-11-16 18:15:46.6805900", in UTC; "+00:00" may follow.
absl::StatusOr<Duration> TimeIn(const std::string& field) {
  std::string_view text = field;
  constexpr std::string_view kUtc = "+00:00";
  if (text.ends_with(kUtc)) text.remove_suffix(kUtc.size());
  if (text.size() > 11 && text[10] == ' ') {
    const auto date = DateIn(text.substr(0, 10));
    const auto time = TimeOfDayIn(text.substr(11));
    if (date && time) return date->time_since_epoch() + *time;
  }
  return BadField("TIMESTAMP", Excerpt(field), "a time like 2023-11-16 18:15:46.6805900");
}

class AzureParser final : public TraceLineParser {
 public:
  explicit AzureParser(std::vector<size_t> places) : places_(std::move(places)) {}
  absl::StatusOr<TraceRequest> Parse(const std::string& line) const override {
    const absl::StatusOr<Fields> fields = Pick(line, places_);
    if (!fields.ok()) return fields.status();
    const auto time = TimeIn((*fields)[0]);
    if (!time.ok()) return time.status();
    const auto prompt = TokensIn((*fields)[1], "ContextTokens", 1);
    if (!prompt.ok()) return prompt.status();
    const auto output = TokensIn((*fields)[2], "GeneratedTokens", 0);
    if (!output.ok()) return output.status();
    return TraceRequest{*time, *prompt, *output};
  }

 private:
  const std::vector<size_t> places_;
};

class LengthsParser final : public TraceLineParser {
 public:
  explicit LengthsParser(std::vector<size_t> places) : places_(std::move(places)) {}
  absl::StatusOr<TraceRequest> Parse(const std::string& line) const override {
    const absl::StatusOr<Fields> fields = Pick(line, places_);
    if (!fields.ok()) return fields.status();
    const auto prompt = TokensIn((*fields)[0], "num_prefill_tokens", 1);
    if (!prompt.ok()) return prompt.status();
    const auto output = TokensIn((*fields)[1], "num_decode_tokens", 0);
    if (!output.ok()) return output.status();
    return TraceRequest{Duration::zero(), *prompt, *output};
  }

 private:
  const std::vector<size_t> places_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TraceLineParser>> AzureLines(const std::string& header) {
  auto places = ColumnsOf(header, {"TIMESTAMP", "ContextTokens", "GeneratedTokens"});
  if (!places.ok()) return places.status();
  return std::make_unique<AzureParser>(*std::move(places));
}

absl::StatusOr<std::unique_ptr<TraceLineParser>> LengthsLines(const std::string& header) {
  auto places = ColumnsOf(header, {"num_prefill_tokens", "num_decode_tokens"});
  if (!places.ok()) return places.status();
  return std::make_unique<LengthsParser>(*std::move(places));
}

}  // namespace plimsoll
