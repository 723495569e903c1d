// The command line as data, read from the CLI11 tree: what completion files and the manual page are
// made from, so that they say what --help says.
//
// Threads: pure. Cost: some strings. Errors: none.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace plimsoll {

struct OptionFacts {
  std::vector<std::string> names = {};  // with their dashes, the long ones first; empty: positional
  std::string value_name = {};          // "TEXT", "INT"; empty where it takes no value
  std::vector<std::string> choices = {};
  std::string description = {}, default_value = {}, environment = {};
  std::string positional = {};  // its name, where it has no dashes
  bool required = false;

  bool takes_value() const { return !value_name.empty(); }
};

struct CommandFacts {
  std::string path;  // "plan", "bench memory"; empty for the program itself
  std::string description, footer;
  std::vector<OptionFacts> options;
  std::vector<std::string> subcommands;  // names of those right below
};

// The program first, then each command before those below it.
std::vector<CommandFacts> CommandTreeOf(const CLI::App& app);

// The commands right below this one, of all.
std::vector<const CommandFacts*> ChildrenOf(const CommandFacts& command,
                                            const std::vector<CommandFacts>& all);

}  // namespace plimsoll
