#include "tools/serve/configuration.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tools/whole_numbers.h"

namespace plimsoll {
namespace {

using Values = std::map<std::string, std::vector<std::string>>;

constexpr char kEnvironment[] = "PLIMSOLL_";

std::string FieldNameOf(const CLI::Option& option) {
  std::string name = option.get_lnames().front();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string ArgumentName(std::string field) {
  std::replace(field.begin(), field.end(), '_', '-');
  return "--" + field;
}

// The options of an application that only has those of `serve`, --help left out.
std::vector<const CLI::Option*> OptionsOf(const CLI::App& app) {
  std::vector<const CLI::Option*> options;
  for (const CLI::Option* option : app.get_options()) {
    if (option != app.get_help_ptr() && !option->get_lnames().empty()) options.push_back(option);
  }
  return options;
}

Values FromCommandLine(const CLI::App& command, const std::set<std::string>& known) {
  Values values;
  for (const CLI::Option* option : OptionsOf(command)) {
    const std::string name = FieldNameOf(*option);
    if (option->count() > 0 && known.contains(name)) values[name] = option->results();
  }
  return values;
}

Values FromEnvironment(const std::vector<const CLI::Option*>& options) {
  Values values;
  for (const CLI::Option* option : options) {
    const std::string name = FieldNameOf(*option);
    std::string variable = kEnvironment;
    for (const char c : name)
      variable += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const char* const text = std::getenv(variable.c_str());
    if (text == nullptr || *text == '\0') continue;
    const bool many = option->get_expected_max() > 1;
    values[name] =
        many ? std::vector<std::string>(absl::StrSplit(text, ',')) : std::vector<std::string>{text};
  }
  return values;
}

// Takes what of `lower` is neither set nor excluded by what is set.
void AddBelow(Values& values, const Values& lower, const std::vector<const CLI::Option*>& options) {
  std::set<std::string> hidden;
  for (const CLI::Option* option : options) {
    if (!values.contains(FieldNameOf(*option))) continue;
    hidden.insert(FieldNameOf(*option));
    for (const CLI::Option* other : option->get_excludes()) hidden.insert(FieldNameOf(*other));
  }
  for (const auto& [name, texts] : lower) {
    if (!hidden.contains(name)) values[name] = texts;
  }
}

absl::StatusOr<Values> FromFile(const std::string& file) {
  Values values;
  if (file.empty()) return values;
  absl::StatusOr<std::vector<Setting>> settings = ReadConfigFile(file);
  if (!settings.ok()) return settings.status();
  for (Setting& setting : *settings) {
    std::erase(setting.values, "");
    if (!setting.values.empty()) values[setting.name] = std::move(setting.values);
  }
  return values;
}

absl::Status Parse(CLI::App& app, const Values& values) {
  std::vector<std::string> arguments;
  for (const auto& [name, texts] : values) {
    for (const std::string& text : texts) arguments.push_back(ArgumentName(name) + "=" + text);
  }
  std::reverse(arguments.begin(), arguments.end());  // as the parser wants them
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  return absl::OkStatus();
}

// What is set, and the defaults of the rest.
std::vector<Setting> EffectiveOf(const std::vector<const CLI::Option*>& options,
                                 const Values& values) {
  std::vector<Setting> effective;
  for (const CLI::Option* option : options) {
    const std::string name = FieldNameOf(*option);
    std::string fallback = option->get_default_str();
    // A list's default is written in brackets.
    if (!fallback.empty() && fallback.front() == '[')
      fallback = fallback.substr(1, fallback.size() - 2);
    const auto found = values.find(name);
    if (found != values.end()) {
      effective.push_back({.name = name, .values = found->second});
    } else if (!fallback.empty()) {
      effective.push_back({.name = name, .values = {fallback}});
    }
  }
  std::sort(effective.begin(), effective.end(),
            [](const Setting& a, const Setting& b) { return a.name < b.name; });
  return effective;
}

}  // namespace

absl::StatusOr<Configured> Configure(const CLI::App& command, const ServeOptionsAdder& add,
                                     const std::string& file) {
  Configured configured;
  CLI::App app;
  add(app, configured.text);
  CheckWholeNumbers(app);
  const std::vector<const CLI::Option*> options = OptionsOf(app);
  std::set<std::string> known;
  for (const CLI::Option* option : options) known.insert(FieldNameOf(*option));
  const absl::StatusOr<Values> from_file = FromFile(file);
  if (!from_file.ok()) return from_file.status();
  Values values = FromCommandLine(command, known);
  AddBelow(values, FromEnvironment(options), options);
  AddBelow(values, *from_file, options);
  PLIMSOLL_RETURN_IF_ERROR(Parse(app, values));
  configured.effective = EffectiveOf(options, values);
  return configured;
}

std::vector<std::pair<std::string, std::string>> ChangesBetween(const std::vector<Setting>& before,
                                                                const std::vector<Setting>& after) {
  std::map<std::string, std::pair<std::string, std::string>> all;
  for (const Setting& setting : before)
    all[setting.name].first = absl::StrJoin(setting.values, ",");
  for (const Setting& setting : after)
    all[setting.name].second = absl::StrJoin(setting.values, ",");
  std::vector<std::pair<std::string, std::string>> changes;
  for (const auto& [name, values] : all) {
    const auto& [old_value, new_value] = values;
    if (old_value != new_value) changes.emplace_back(name, old_value + " -> " + new_value);
  }
  return changes;
}

}  // namespace plimsoll
