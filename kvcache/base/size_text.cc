#include "kvcache/base/size_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <optional>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

struct Unit {
  std::string_view name;
  int64_t bytes;
};

constexpr std::array<Unit, 10> kUnits = {{{"", 1},
                                          {"b", 1},
                                          {"kib", int64_t{1} << 10},
                                          {"mib", int64_t{1} << 20},
                                          {"gib", int64_t{1} << 30},
                                          {"tib", int64_t{1} << 40},
                                          {"kb", 1'000},
                                          {"mb", 1'000'000},
                                          {"gb", 1'000'000'000},
                                          {"tb", 1'000'000'000'000}}};

std::optional<int64_t> BytesOfUnit(std::string_view text) {
  std::string name;
  for (const char c : text) {
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  if (!name.empty() && name.front() == ' ') name.erase(0, 1);
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return unit.bytes;
  }
  return std::nullopt;
}

// Takes the digits at the front of `text`; nullopt if there are none or too many.
std::optional<int64_t> TakeNumber(std::string_view& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, number);
  if (error != std::errc() || digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return number;
}

// ".25" of a unit in millionths: 250000. "" is 0.
std::optional<int64_t> TakeMillionths(std::string_view& text) {
  if (text.empty() || text.front() != '.') return 0;
  text.remove_prefix(1);
  const size_t before = text.size();
  std::optional<int64_t> number = TakeNumber(text);
  const size_t digits = before - text.size();
  if (!number || digits > 6) return std::nullopt;
  for (size_t i = digits; i < 6; ++i) *number *= 10;
  return number;
}

std::optional<Bytes> Parse(std::string_view text) {
  const std::optional<int64_t> whole = TakeNumber(text);
  if (!whole) return std::nullopt;
  const std::optional<int64_t> millionths = TakeMillionths(text);
  const std::optional<int64_t> unit = BytesOfUnit(text);
  if (!millionths || !unit) return std::nullopt;
  const std::optional<int64_t> bytes = CheckedProduct({*whole, *unit});
  if (!bytes || *bytes > kMaxBytes.value()) return std::nullopt;
  return Bytes(*bytes) + Bytes(*millionths * *unit / 1'000'000);
}

}  // namespace

absl::StatusOr<Bytes> ParseSize(std::string_view text, std::string_view what) {
  const std::optional<Bytes> size = Parse(text);
  if (size && *size <= kMaxBytes) return *size;
  return BadField(what, Excerpt(text), "a size such as 80GiB, 80GB or 85899345920, at most 1EiB");
}

std::string FormatSize(Bytes size) {
  constexpr std::array<Unit, 4> kPrinted = {{{" TiB", int64_t{1} << 40},
                                             {" GiB", int64_t{1} << 30},
                                             {" MiB", int64_t{1} << 20},
                                             {" KiB", int64_t{1} << 10}}};
  for (const Unit& unit : kPrinted) {
    if (size.value() < unit.bytes) continue;
    const int64_t rest = size.value() % unit.bytes;
    std::string whole = std::to_string(size.value() / unit.bytes);
    if (rest == 0) return whole + std::string(unit.name);
    const std::string hundredths = std::to_string(100 + rest * 100 / unit.bytes);
    return whole + "." + hundredths.substr(1) + std::string(unit.name);
  }
  return std::to_string(size.value()) + " B";
}

}  // namespace plimsoll
