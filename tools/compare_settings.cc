#include "tools/compare_settings.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "kvcache/base/errors.h"
#include "tools/whole_numbers.h"

namespace plimsoll {

bool NamesModel(const std::string& argument) {
  std::error_code ignored;
  return argument.find('=') == std::string::npos || std::filesystem::exists(argument, ignored);
}

absl::Status ParseSettings(const std::string& settings, CLI::App& parser) {
  std::vector<std::string> options = absl::StrSplit(settings, ',');
  for (std::string& option : options) {
    if (option.empty()) return absl::InvalidArgumentError("an empty setting; want NAME=VALUE");
    option.insert(0, "--");
    if (option.starts_with("--lora-targets=")) std::replace(option.begin(), option.end(), '+', ',');
  }
  std::reverse(options.begin(), options.end());  // as CLI11 takes them
  parser.set_help_flag();
  CheckWholeNumbers(parser);
  try {
    parser.parse(options);
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(Excerpt(error.what()));
  }
  return absl::OkStatus();
}

std::string DifferenceInPercent(int64_t first, int64_t other) {
  if (first == other) return "";
  if (first == 0) return "new";
  const double percent = 100.0 * (static_cast<double>(other) - static_cast<double>(first)) /
                         static_cast<double>(first);
  return absl::StrFormat("%+.1f%%", percent);
}

}  // namespace plimsoll
