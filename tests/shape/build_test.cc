// Nothing lies beside the build: every test file is compiled, and the README's examples are the
// ones that tests build and run.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "tests/shape/source_tree.h"

namespace plimsoll {
namespace {

TEST(Build, EveryTestFileIsInIt) {
  std::ifstream in(std::string(PLIMSOLL_BINARY_DIR) + "/compile_commands.json");
  const std::string commands((std::istreambuf_iterator<char>(in)),
                             std::istreambuf_iterator<char>());
  ASSERT_FALSE(commands.empty());
  const auto files = SourcesUnder("tests", {"_test.cc"});
  EXPECT_GT(files.size(), 10u);
  for (const SourceFile& file : files) {
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    if (std::string(PLIMSOLL_TESTS_LEFT_OUT).find(" " + name + " ") != std::string::npos) continue;
    EXPECT_NE(commands.find("/" + file.path + "\""), std::string::npos) << file.path;
  }
}

TEST(Build, TheReadmeShowsTheCompiledExamples) {
  const std::string example = TextOf("tests/install/consumer/main.cc");
  ASSERT_FALSE(example.empty());
  EXPECT_NE(TextOf("README.md").find(example), std::string::npos)
      << "README.md and tests/install/consumer/main.cc differ";
  for (const std::string other : {"kvcache/c/example.c", "tools/python/examples/router.py"}) {
    ASSERT_FALSE(TextOf(other).empty()) << other;
    EXPECT_NE(TextOf("README.md").find(TextOf(other)), std::string::npos)
        << "README.md and " << other << " differ";
  }
}

TEST(Build, TheReadmeOfTestsListsEveryPlantedBug) {
  const std::string readme = TextOf("tests/README.md");
  int bugs = 0;
  for (const SourceFile& list : SourcesUnder("tests/mutants", {".list"})) {
    std::istringstream in(TextOf(list.path));
    for (std::string line; std::getline(in, line);) {
      if (!line.starts_with("bug: ")) continue;
      ++bugs;
      EXPECT_NE(readme.find("`: " + line.substr(5) + "\n"), std::string::npos)
          << line << "; run tests/mutants/run --list";
    }
  }
  EXPECT_GE(bugs, 20);
}

// So that who changes the text of a bug mends its list in the same change.
TEST(Build, EveryPlantedBugIsInOnePlace) {
  for (const SourceFile& list : SourcesUnder("tests/mutants", {".list"})) {
    std::istringstream in(TextOf(list.path));
    std::string source;
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with("file: ")) source = TextOf(line.substr(6));
      if (!line.starts_with("from: ")) continue;
      const std::string text = line.substr(6);
      const size_t at = source.find(text);
      EXPECT_NE(at, std::string::npos) << list.path << ": nowhere: " << text;
      EXPECT_EQ(source.find(text, at + 1), std::string::npos) << list.path << ": twice: " << text;
    }
  }
}

TEST(Build, EveryFolderHasAReadme) {
  for (const std::string folder : {"engine",         "engine/device",
                                   "engine/ops",     "engine/weights",
                                   "engine/decoder", "engine/loop",
                                   "kvcache",        "kvcache/base",
                                   "kvcache/model",  "kvcache/sizing",
                                   "kvcache/pool",   "kvcache/admission",
                                   "kvcache/c",      "rpc",
                                   "rpc/c",          "tools/python",
                                   "proto",          "tests",
                                   "bench",          "tools"}) {
    EXPECT_FALSE(TextOf(folder + "/README.md").empty()) << folder;
  }
}

}  // namespace
}  // namespace plimsoll
