// The commands on the pages about planning, run again: what a page shows is what the program says.
//
// A block that starts with ```console holds commands, "$ plimsoll ...", each followed by what it
// prints. A line "..." stands for any lines left out. Models lie beside, as folders with the
// published configurations.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "tests/kvcache/model/other_published_models.h"
#include "tests/kvcache/model/published_models.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using Lines = std::vector<std::string>;

struct Shown {
  std::string command;
  Lines output;
};

// The commands of the page, in its order.
std::vector<Shown> CommandsOf(const std::string& page) {
  std::vector<Shown> shown;
  bool inside = false;
  for (const std::string& line : Lines(absl::StrSplit(page, '\n'))) {
    if (line.rfind("```", 0) == 0) {
      inside = line == "```console";
    } else if (inside && line.rfind("$ ", 0) == 0) {
      shown.push_back({line.substr(2), {}});
    } else if (inside && !shown.empty() && !shown.back().command.empty() &&
               shown.back().command.back() == '\\') {
      shown.back().command.pop_back();
      shown.back().command += line;
    } else if (inside && !shown.empty()) {
      shown.back().output.push_back(line);
    }
  }
  return shown;
}

// Runs of lines between those left out.
std::vector<Lines> PiecesOf(const Lines& output) {
  std::vector<Lines> pieces(1);
  for (const std::string& line : output) {
    if (line == "...") {
      pieces.emplace_back();
    } else {
      pieces.back().push_back(line);
    }
  }
  return pieces;
}

bool StandsAt(const Lines& printed, size_t at, const Lines& piece) {
  if (at + piece.size() > printed.size()) return false;
  for (size_t i = 0; i < piece.size(); ++i) {
    if (printed[at + i] != piece[i]) return false;
  }
  return true;
}

// Whether the pieces stand in the output one behind the other, and nothing is before the first or
// behind the last unless "..." says so.
bool Matches(const Lines& shown, const Lines& printed) {
  const std::vector<Lines> pieces = PiecesOf(shown);
  size_t at = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const bool last = i + 1 == pieces.size();
    if (i > 0) {
      while (at < printed.size() && !StandsAt(printed, at, pieces[i])) ++at;
    }
    if (last && i > 0 && !pieces[i].empty()) at = printed.size() - pieces[i].size();
    if (last && i > 0 && pieces[i].empty()) return true;
    if (!StandsAt(printed, at, pieces[i])) return false;
    at += pieces[i].size();
  }
  return at == printed.size();
}

class PlanningPages : public testing::TestWithParam<std::string> {
 protected:
  PlanningPages() {
    for (const PublishedModel& model : kPublishedModels) Write(model);
    for (const PublishedModel& model : kOtherPublishedModels) Write(model);
  }

  Lines Printed(const std::string& command) const {
    const std::string shell = "cd '" + folder_.path() + "' && export PATH='" +
                              std::string(PLIMSOLL_BINARY_DIR) + "/bin':\"$PATH\" && (" + command +
                              ") 2>&1";
    Lines lines = absl::StrSplit(RunProgram({"/bin/sh", "-c", shell}).out, '\n');
    if (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
  }

 private:
  void Write(const PublishedModel& model) {
    const std::string name(model.name.substr(model.name.find('/') + 1));
    folder_.Write(name + "/config.json", model.config);
  }

  TempDir folder_;
};

TEST_P(PlanningPages, ShowWhatTheProgramPrints) {
  const std::vector<Shown> commands =
      CommandsOf(ReadFile(std::string(PLIMSOLL_SOURCE_DIR) + "/" + GetParam()));
  EXPECT_FALSE(commands.empty());
  for (const Shown& shown : commands) {
    const Lines printed = Printed(shown.command);
    std::string said;
    for (const std::string& line : printed) said += line + "\n";
    EXPECT_TRUE(Matches(shown.output, printed)) << "$ " << shown.command << "\n" << said;
  }
}

INSTANTIATE_TEST_SUITE_P(Docs, PlanningPages, testing::Values("kvcache/sizing/questions.md"),
                         [](const auto&) { return std::string("Questions"); });

TEST(PlanningPagesTest, PiecesMustStandInTheirOrder) {
  const Lines printed = {"a", "b", "c", "d"};
  EXPECT_TRUE(Matches({"a", "...", "d"}, printed));
  EXPECT_TRUE(Matches({"...", "c", "..."}, printed));
  EXPECT_TRUE(Matches({"a", "b", "c", "d"}, printed));
  EXPECT_FALSE(Matches({"a", "b"}, printed));
  EXPECT_FALSE(Matches({"b", "...", "d"}, printed));
  EXPECT_FALSE(Matches({"...", "c", "...", "b", "..."}, printed));
  EXPECT_FALSE(Matches({"a", "...", "x"}, printed));
}

}  // namespace
}  // namespace plimsoll
