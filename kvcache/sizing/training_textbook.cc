#include "kvcache/sizing/training_textbook.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kHeadWidth = 128;

// The power of ten after a number: "" 0, "M" 6, "B" 9, "e9" 9.
std::optional<int> ExponentOf(std::string_view text) {
  if (text.empty()) return 0;
  const int letter = std::toupper(static_cast<unsigned char>(text.front()));
  if (text.size() == 1) {
    if (letter == 'K') return 3;
    if (letter == 'M') return 6;
    if (letter == 'B' || letter == 'G') return 9;
    if (letter == 'T') return 12;
  }
  if (letter != 'E') return std::nullopt;
  text.remove_prefix(text.size() > 1 && text[1] == '+' ? 2 : 1);
  int exponent = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
  const bool all = error == std::errc() && end == text.data() + text.size();
  return all && exponent >= 0 && exponent <= 15 ? std::optional(exponent) : std::nullopt;
}

// "7.5" and exponent 9: the digits 75, times ten once less for each digit behind the point.
std::optional<int64_t> Scaled(std::string_view number, int exponent) {
  std::string digits(number);
  if (const size_t point = digits.find('.'); point != std::string::npos) {
    digits.erase(point, 1);
    exponent -= static_cast<int>(digits.size() - point);
    if (point == 0 || point == digits.size()) return std::nullopt;
  }
  while (exponent < 0 && digits.size() > 1 && digits.back() == '0') {
    digits.pop_back();
    ++exponent;
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (exponent < 0) return std::nullopt;
  for (; exponent > 0; --exponent) {
    const std::optional<int64_t> next = CheckedProduct({value, 10});
    if (!next) return std::nullopt;
    value = *next;
  }
  return value;
}

}  // namespace

absl::StatusOr<int64_t> ParseParameterCount(std::string_view text) {
  const size_t split = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::optional<int> exponent = ExponentOf(text.substr(split));
  const std::optional<int64_t> count =
      exponent ? Scaled(text.substr(0, split), *exponent) : std::nullopt;
  if (count && *count >= 1 && *count <= kMaxTextbookParameters) return *count;
  return BadField("parameters", Excerpt(text),
                  "a whole number such as 13e9, 13B or 13000000000, at most 2^50");
}

TextbookModel UsualShape(int64_t parameters) {
  constexpr int64_t kOfOneLayer = 12 * kHeadWidth * kHeadWidth;
  int64_t layers = 1;
  while (kOfOneLayer * (layers + 1) * (layers + 1) * (layers + 1) <= parameters) ++layers;
  return {
      .parameters = parameters, .layers = layers, .hidden = kHeadWidth * layers, .heads = layers};
}

std::optional<int64_t> TextbookParameters(const ModelConfig& model) {
  const int64_t h = model.hidden_size;
  const std::optional<int64_t> layers = CheckedProduct({model.layers, 12 * h + 13, h});
  if (!layers) return std::nullopt;
  return CheckedAdd(*layers, h * model.vocab_size + 2 * h);
}

}  // namespace plimsoll
