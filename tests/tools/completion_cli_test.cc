// Completion files in their shells, and the manual page in man.
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

std::string File(const std::string& name) {
  return std::string(PLIMSOLL_BINARY_DIR) + "/share/" + name;
}

bool Installed(const std::string& program) {
  return RunProgram({program, "--version"}).exit_code == 0;
}

// What bash would offer for the line, whose last word is being typed.
std::vector<std::string> Offered(const std::vector<std::string>& line) {
  std::string words;
  for (const std::string& word : line) words += " '" + word + "'";
  const std::string script = "source " + File("plimsoll.bash") + "\n" +
                             "complete -p plimsoll >/dev/null || exit 9\n" + "COMP_WORDS=(" +
                             words + ")\n" + "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n" +
                             "_plimsoll\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
  const ProgramResult result = RunProgram({"bash", "--norc", "-uc", script});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  std::istringstream in(result.out);
  std::vector<std::string> offered;
  for (std::string word; std::getline(in, word);) {
    if (!word.empty()) offered.push_back(word);
  }
  return offered;
}

using Words = std::vector<std::string>;

TEST(BashCompletion, OffersCommandsOptionsAndValues) {
  EXPECT_EQ(Offered({"plimsoll", "reso"}), Words{});
  EXPECT_EQ(Offered({"plimsoll", "resi"}), Words{"resize"});
  EXPECT_EQ(Offered({"plimsoll", "plan"}), (Words{"plan", "plan-training"}));
  EXPECT_EQ(Offered({"plimsoll", "drain", "--re"}), Words{"--resume"});
  EXPECT_EQ(Offered({"plimsoll", "top", "--format", ""}), (Words{"text", "json"}));
  EXPECT_EQ(Offered({"plimsoll", "plan", "--format", "h"}), Words{"html"});
  EXPECT_EQ(Offered({"plimsoll", "bench", "mem"}), Words{"memory"});
  EXPECT_EQ(Offered({"plimsoll", "completion", "z"}), Words{"zsh"});
  EXPECT_EQ(Offered({"plimsoll", "bench", "memory", "--mod"}), Words{"--model"});
}

TEST(BashCompletion, LeavesOtherValuesToFileNames) {
  EXPECT_EQ(Offered({"plimsoll", "plan", "--model", ""}), Words{});
  const ProgramResult spec = RunProgram(
      {"bash", "--norc", "-c", "source " + File("plimsoll.bash") + "; complete -p plimsoll"});
  EXPECT_EQ(spec.out, "complete -o default -F _plimsoll plimsoll\n");
}

// A word that is an option's value is no command.
TEST(BashCompletion, KnowsEveryCommandOfTheProgram) {
  const Words offered = Offered({"plimsoll", ""});
  const std::string help = RunProgram({PlimsollProgram(), "--help"}).out;
  int commands = 0;
  for (const std::string& word : offered) {
    if (word.starts_with("-")) continue;
    ++commands;
    EXPECT_NE(help.find("\n  " + word + " "), std::string::npos) << word;
  }
  EXPECT_GT(commands, 15);
}

TEST(FishCompletion, OffersWhatTheLineCanTake) {
  if (!Installed("fish")) GTEST_SKIP() << "fish is not installed";
  const auto offered = [](const std::string& line) {
    const TempDir home;  // fish writes its history there
    const ProgramResult result =
        RunProgram({"env", "HOME=" + home.path(), "fish", "--no-config", "-c",
                    "source " + File("plimsoll.fish") + "; complete -C '" + line + "'"});
    EXPECT_EQ(result.err, "");
    return result.out;
  };
  EXPECT_NE(offered("plimsoll dra").find("drain\t"), std::string::npos);
  EXPECT_EQ(offered("plimsoll top --format j"),
            "json\ttext, or json: one object on a line each interval\n");
  EXPECT_NE(offered("plimsoll drain --re").find("--resume\t"), std::string::npos);
  EXPECT_NE(offered("plimsoll bench mem").find("memory\t"), std::string::npos);
  EXPECT_EQ(offered("plimsoll drain dra").find("drain\t"), std::string::npos);
}

TEST(ZshCompletion, Parses) {
  if (!Installed("zsh")) GTEST_SKIP() << "zsh is not installed";
  const ProgramResult result = RunProgram({"zsh", "-n", File("plimsoll.zsh")});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
}

TEST(CompletionCli, KnowsThreeShells) {
  EXPECT_EQ(RunProgram({PlimsollProgram(), "completion", "tcsh"}).exit_code, 2);
  EXPECT_EQ(RunProgram({PlimsollProgram(), "completion"}).exit_code, 2);
  const ProgramResult zsh = RunProgram({PlimsollProgram(), "completion", "zsh"});
  EXPECT_EQ(zsh.exit_code, 0);
  EXPECT_EQ(zsh.out.find("#compdef plimsoll\n"), 0u);
}

TEST(ManualPage, RendersWithoutAWarningAndSaysEveryOption) {
  if (!Installed("man")) GTEST_SKIP() << "man is not installed";
  const ProgramResult page = RunProgram({"env", "LC_ALL=C.UTF-8", "MANWIDTH=100", "MANROFFOPT=-ww",
                                         "man", "--warnings", "-l", File("plimsoll.1")});
  EXPECT_EQ(page.exit_code, 0);
  EXPECT_EQ(page.err, "");
  for (const std::string says : {"plimsoll drain", "--resume", "PLIMSOLL_ADDR", "EXIT STATUS",
                                 "plimsoll plan --model Llama-3.1-8B --gpu h100"}) {
    EXPECT_NE(page.out.find(says), std::string::npos) << says;
  }
}

}  // namespace
}  // namespace plimsoll
