#include "tools/completion/manual_page.h"

#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace plimsoll {
namespace {

// Text that roff shows as it is.
std::string Roff(const std::string& text) {
  std::string safe = absl::StrReplaceAll(text, {{"\\", "\\e"},
                                                {"-", "\\-"},
                                                {"'", "\\(aq"},
                                                {"^", "\\(ha"},
                                                {"~", "\\(ti"},
                                                {"`", "\\(ga"},
                                                {"\"", "\\(dq"}});
  if (safe.starts_with(".")) safe.insert(0, "\\&");
  return safe;
}

// Lines as they are, not filled: footers have columns.
std::string Verbatim(const std::string& text) {
  std::string lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const std::string shown = Roff(std::string(absl::StripTrailingAsciiWhitespace(line)));
    lines += (shown.empty() ? ".sp" : shown) + "\n";
  }
  return lines;
}

std::string OptionText(const OptionFacts& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.names) names.push_back("\\fB" + Roff(name) + "\\fR");
  std::string head =
      names.empty() ? "\\fI" + Roff(option.positional) + "\\fR" : absl::StrJoin(names, ", ");
  if (option.takes_value() && !names.empty()) head += " \\fI" + Roff(option.value_name) + "\\fR";
  std::string text = Roff(absl::StrReplaceAll(option.description, {{"\n", " "}}));
  if (!option.choices.empty()) text += " [" + Roff(absl::StrJoin(option.choices, ", ")) + "]";
  if (!option.default_value.empty()) text += " (default: " + Roff(option.default_value) + ")";
  if (!option.environment.empty()) text += " (environment: " + Roff(option.environment) + ")";
  if (option.required) text += " (required)";
  return ".TP\n" + head + "\n" + absl::StrReplaceAll(text, {{"\n", " "}}) + "\n";
}

std::string CommandText(const CommandFacts& command) {
  std::string text = ".SS plimsoll " + Roff(command.path) + "\n" +
                     Roff(absl::StrReplaceAll(command.description, {{"\n", " "}})) + ".\n";
  for (const OptionFacts& option : command.options) {
    if (option.names != std::vector<std::string>{"--help", "-h"}) text += OptionText(option);
  }
  if (!command.footer.empty()) {
    text += ".PP\n.nf\n" + Verbatim(command.footer) + ".fi\n";
  }
  return text;
}

constexpr char kExitStatus[] =
    ".SH EXIT STATUS\n"
    ".TP\n0\nsuccess\n.TP\n1\nfailure while running\n.TP\n2\nbad usage or bad input\n"
    ".TP\n3\nrefused\n.TP\n4\nserver unreachable\n";

constexpr char kEnvironment[] =
    ".SH ENVIRONMENT\n"
    ".TP\nPLIMSOLL_ADDR\nthe server of client commands, where \\fB\\-\\-server\\fR is not given\n"
    ".TP\nNO_COLOR\nleaves colours out of what \\fBplimsoll top\\fR shows\n";

}  // namespace

std::string ManualPage(const std::vector<CommandFacts>& commands, const std::string& version) {
  const CommandFacts& program = commands.front();
  std::string text =
      ".TH PLIMSOLL 1 \"\" \"plimsoll " + Roff(version) +
      "\" \"User Commands\"\n"
      ".SH NAME\nplimsoll \\- how much KV cache fits, before serving, while serving, "
      "and before each request\n"
      ".SH SYNOPSIS\n.B plimsoll\n.I command\n.RI [ option .\\|.\\|.]\n"
      ".SH DESCRIPTION\n" +
      Roff(program.description) + "\n.SH COMMANDS\n";
  for (size_t i = 1; i < commands.size(); ++i) text += CommandText(commands[i]);
  return text + kExitStatus + kEnvironment;
}

}  // namespace plimsoll
