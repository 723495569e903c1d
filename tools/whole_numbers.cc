#include "tools/whole_numbers.h"

#include <limits>
#include <string>

#include "absl/strings/numbers.h"

namespace plimsoll {
namespace {

bool LooksOctal(const std::string& text) {
  const size_t first = text.rfind('-', 0) == 0 ? 1 : 0;
  return text.size() > first + 1 && text[first] == '0';
}

// Empty where it is one, as CLI11 wants it.
template <class Number>
std::string WhyNotWhole(const std::string& text) {
  Number number = 0;
  if (absl::SimpleAtoi(text, &number) && !LooksOctal(text)) return "";
  return text + ": want a whole number from " + std::to_string(std::numeric_limits<Number>::min()) +
         " to " + std::to_string(std::numeric_limits<Number>::max());
}

bool IsOf(const CLI::Option& option, const std::string& type) {
  return option.get_type_name().rfind(type, 0) == 0;
}

}  // namespace

void CheckWholeNumbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (IsOf(*option, "INT")) option->check(WhyNotWhole<int64_t>);
    if (IsOf(*option, "UINT")) option->check(WhyNotWhole<uint64_t>);
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    CheckWholeNumbers(*command);
  }
}

}  // namespace plimsoll
