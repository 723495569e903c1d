#include "tools/completion/command_tree.h"

#include <sstream>

namespace plimsoll {
namespace {

// "TEXT:{text,json}" names the choices of IsMember.
std::vector<std::string> ChoicesIn(const std::string& type) {
  const size_t open = type.find('{');
  const size_t close = type.find('}');
  std::vector<std::string> choices;
  if (open == std::string::npos || close == std::string::npos) return choices;
  std::istringstream list(type.substr(open + 1, close - open - 1));
  for (std::string choice; std::getline(list, choice, ',');) choices.push_back(choice);
  return choices;
}

OptionFacts FactsOf(const CLI::Option& option) {
  OptionFacts facts;
  for (const std::string& name : option.get_lnames()) facts.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) facts.names.push_back("-" + name);
  const std::string type = option.get_type_name();
  if (option.get_items_expected_max() > 0) facts.value_name = type.substr(0, type.find(':'));
  facts.choices = ChoicesIn(type);
  facts.description = option.get_description();
  facts.default_value = option.get_default_str();
  facts.environment = option.get_envname();
  if (facts.names.empty()) facts.positional = option.get_name();
  facts.required = option.get_required();
  return facts;
}

void Collect(const CLI::App& app, const std::string& path, std::vector<CommandFacts>& all) {
  CommandFacts facts;
  facts.path = path;
  facts.description = app.get_description();
  facts.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) facts.options.push_back(FactsOf(*option));
  const std::vector<const CLI::App*> below =
      app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* each : below) facts.subcommands.push_back(each->get_name());
  all.push_back(facts);
  for (const CLI::App* each : below) {
    Collect(*each, path.empty() ? each->get_name() : path + " " + each->get_name(), all);
  }
}

}  // namespace

std::vector<CommandFacts> CommandTreeOf(const CLI::App& app) {
  std::vector<CommandFacts> all;
  Collect(app, "", all);
  return all;
}

std::vector<const CommandFacts*> ChildrenOf(const CommandFacts& command,
                                            const std::vector<CommandFacts>& all) {
  std::vector<const CommandFacts*> children;
  for (const std::string& name : command.subcommands) {
    const std::string path = command.path.empty() ? name : command.path + " " + name;
    for (const CommandFacts& each : all) {
      if (each.path == path) children.push_back(&each);
    }
  }
  return children;
}

}  // namespace plimsoll
