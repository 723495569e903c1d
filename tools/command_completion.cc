// plimsoll completion and man: what a shell and a manual reader want to know of the command line.
#include <memory>
#include <string>

#include "tools/command.h"
#include "tools/completion/command_tree.h"
#include "tools/completion/manual_page.h"
#include "tools/completion/shells.h"
#include "tools/output_file.h"

namespace plimsoll {
namespace {

std::string CompletionFor(const std::string& shell, const CLI::App& app) {
  const std::vector<CommandFacts> commands = CommandTreeOf(app);
  if (shell == "bash") return BashCompletion(commands);
  return shell == "zsh" ? ZshCompletion(commands) : FishCompletion(commands);
}

int Written(const std::string& file, const std::string& text) {
  const absl::Status written = WriteOutput(file, text);
  return written.ok() ? 0 : ReportError(written);
}

}  // namespace

void AddCompletionCommands(CLI::App& app, CommandResult& result) {
  const auto shell = std::make_shared<std::string>();
  const auto file = std::make_shared<std::string>();
  CLI::App* const completion =
      app.add_subcommand("completion", "Print the completion file of a shell");
  completion->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->add_option("-o,--output", *file, "write to this file");
  completion->footer("For one session:  source <(plimsoll completion bash)");
  completion->callback([shell, file, &app, &result] {
    result.exit_code = Written(*file, CompletionFor(*shell, app));
  });
  CLI::App* const man = app.add_subcommand("man", "Print the manual page");
  man->add_option("-o,--output", *file, "write to this file");
  man->footer("To read it:  plimsoll man | man -l -");
  man->callback([file, &app, &result] {
    result.exit_code = Written(*file, ManualPage(CommandTreeOf(app), PLIMSOLL_VERSION));
  });
}

}  // namespace plimsoll
