#include "tools/duration_text.h"

#include <charconv>
#include <map>

#include "kvcache/base/errors.h"

namespace plimsoll {

absl::StatusOr<Duration> ParseDuration(const std::string& text, const std::string& what) {
  static const std::map<std::string, Duration> kUnits = {{"ms", std::chrono::milliseconds(1)},
                                                         {"s", std::chrono::seconds(1)},
                                                         {"m", std::chrono::minutes(1)},
                                                         {"h", std::chrono::hours(1)}};
  constexpr Duration kLongest = std::chrono::hours(24);
  const absl::Status bad =
      BadField(what, text, "a duration such as 500ms, 30s, 2m or 1h, up to 24h");
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || number < 0) return bad;
  if (number == 0 && stopped == end) return Duration::zero();
  const auto unit = kUnits.find(std::string(stopped, end));
  if (unit == kUnits.end() || number > kLongest / unit->second) return bad;
  return number * unit->second;
}

}  // namespace plimsoll
