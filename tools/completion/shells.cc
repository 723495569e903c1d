#include "tools/completion/shells.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace plimsoll {
namespace {

std::string Join(const std::vector<std::string>& words) { return absl::StrJoin(words, " "); }

// The first line of a description, for shells that show one.
std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

std::vector<std::string> WordsOf(const CommandFacts& command) {
  std::vector<std::string> words = command.subcommands;
  for (const OptionFacts& option : command.options) {
    const std::vector<std::string>& its = option.names.empty() ? option.choices : option.names;
    words.insert(words.end(), its.begin(), its.end());
  }
  return words;
}

// In a pattern of `case`: " plan:--format".
std::string BashPattern(const CommandFacts& command, const OptionFacts& option) {
  std::vector<std::string> patterns;
  for (const std::string& name : option.names)
    patterns.push_back("'" + command.path + ":" + name + "'");
  return absl::StrJoin(patterns, "|");
}

std::string BashValues(const std::vector<CommandFacts>& commands) {
  std::string cases;
  std::vector<std::string> anything;
  for (const CommandFacts& command : commands) {
    for (const OptionFacts& option : command.options) {
      if (!option.takes_value() || option.names.empty()) continue;
      const std::string pattern = BashPattern(command, option);
      if (option.choices.empty()) {
        anything.push_back(pattern);
        continue;
      }
      cases += "    " + pattern + ")\n      COMPREPLY=($(compgen -W '" + Join(option.choices) +
               "' -- \"$cur\")); return ;;\n";
    }
  }
  // Nothing here: readline completes file names.
  return cases + "    " + absl::StrJoin(anything, "|\\\n    ") + ")\n      return ;;\n";
}

std::string InSingleQuotes(const std::string& text) {
  return absl::StrReplaceAll(FirstLine(text), {{"'", "'\\''"}});
}

// For _arguments, where brackets and colons mean something.
std::string ZshText(const std::string& text) {
  return absl::StrReplaceAll(InSingleQuotes(text), {{"[", "\\["}, {"]", "\\]"}, {":", "\\:"}});
}

std::string ZshOption(const OptionFacts& option) {
  std::string value;
  if (option.takes_value()) {
    value = option.choices.empty() ? ":value:_files" : ":value:(" + Join(option.choices) + ")";
  }
  std::string lines;
  for (const std::string& name : option.names) {
    lines += " \\\n        '*" + name + "[" + ZshText(option.description) + "]" + value + "'";
  }
  return lines;
}

std::string ZshName(const std::string& path) {
  return "_plimsoll" +
         (path.empty() ? "" : "_" + absl::StrReplaceAll(path, {{" ", "_"}, {"-", "_"}}));
}

std::string ZshFunction(const CommandFacts& command, const std::vector<CommandFacts>& all) {
  std::string text = ZshName(command.path) + "() {\n";
  const std::vector<const CommandFacts*> children = ChildrenOf(command, all);
  if (children.empty()) {
    text += "    _arguments -s";
    for (const OptionFacts& option : command.options) text += ZshOption(option);
    return text + " \\\n        '*:value:_files'\n}\n\n";
  }
  text += "    local -a commands=(";
  for (size_t i = 0; i < children.size(); ++i) {
    text += "\n        '" + command.subcommands[i] + ":" + ZshText(children[i]->description) + "'";
  }
  text += "\n    )\n    local curcontext=\"$curcontext\" state line\n    _arguments -C";
  for (const OptionFacts& option : command.options) text += ZshOption(option);
  text +=
      " \\\n        '1: :->command' '*:: :->rest'\n    case $state in\n"
      "    command) _describe command commands ;;\n    rest)\n        case $line[1] in\n";
  for (size_t i = 0; i < children.size(); ++i) {
    text += "        " + command.subcommands[i] + ") " + ZshName(children[i]->path) + " ;;\n";
  }
  return text + "        esac ;;\n    esac\n}\n\n";
}

// Where the command line is at this command: its words were typed, and none of those below.
std::string FishCondition(const CommandFacts& command) {
  if (command.path.empty()) return "__fish_use_subcommand";
  std::string condition =
      "__fish_seen_subcommand_from " +
      absl::StrReplaceAll(command.path, {{" ", "; and __fish_seen_subcommand_from "}});
  if (!command.subcommands.empty()) {
    condition += "; and not __fish_seen_subcommand_from " + Join(command.subcommands);
  }
  return condition;
}

std::string FishLine(const std::string& condition, const std::string& what,
                     const std::string& description) {
  return "complete -c plimsoll -n '" + condition + "'" + what + " -d '" +
         absl::StrReplaceAll(FirstLine(description), {{"\\", "\\\\"}, {"'", "\\'"}}) + "'\n";
}

std::string FishOption(const OptionFacts& option) {
  std::string what;
  for (const std::string& name : option.names) {
    what += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.choices.empty()) return what + " -xa '" + Join(option.choices) + "'";
  return option.takes_value() ? what + " -rF" : what;
}

}  // namespace

std::string BashCompletion(const std::vector<CommandFacts>& commands) {
  std::vector<std::string> paths;
  std::string words;
  for (const CommandFacts& command : commands) {
    if (!command.path.empty()) paths.push_back("'" + command.path + "'");
    words += "    '" + command.path + "') words='" + Join(WordsOf(command)) + "' ;;\n";
  }
  return "# bash completion for plimsoll; written by `plimsoll completion bash`.\n"
         "_plimsoll() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= i "
         "words=\n"
         "  COMPREPLY=()\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    case \"${command:+$command }${COMP_WORDS[i]}\" in\n"
         "    " +
         absl::StrJoin(paths, "|\\\n    ") +
         ")\n"
         "      command=\"${command:+$command }${COMP_WORDS[i]}\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case \"$command:$prev\" in\n" +
         BashValues(commands) +
         "  esac\n"
         "  case \"$command\" in\n" +
         words +
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "}\n"
         "complete -o default -F _plimsoll plimsoll\n";
}

std::string ZshCompletion(const std::vector<CommandFacts>& commands) {
  std::string text =
      "#compdef plimsoll\n# zsh completion for plimsoll; written by `plimsoll completion zsh`.\n\n";
  for (const CommandFacts& command : commands) text += ZshFunction(command, commands);
  return text + "_plimsoll \"$@\"\n";
}

std::string FishCompletion(const std::vector<CommandFacts>& commands) {
  std::string text = "# fish completion for plimsoll; written by `plimsoll completion fish`.\n";
  for (const CommandFacts& command : commands) {
    const std::string condition = FishCondition(command);
    const std::vector<const CommandFacts*> children = ChildrenOf(command, commands);
    for (size_t i = 0; i < children.size(); ++i) {
      text += FishLine(condition, " -f -a " + command.subcommands[i], children[i]->description);
    }
    for (const OptionFacts& option : command.options) {
      if (option.names.empty() && option.choices.empty()) continue;
      text += FishLine(condition, FishOption(option), option.description);
    }
  }
  return text;
}

}  // namespace plimsoll
