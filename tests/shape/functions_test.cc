// Functions stay small enough to read at once. Formatted code tells where one ends: its closing
// brace stands in the column where its first line began.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tests/shape/source_tree.h"

namespace plimsoll {
namespace {

constexpr size_t kLongestFunction = 70;
constexpr size_t kLongFile = 400;

size_t IndentOf(const std::string& line) { return line.find_first_not_of(' '); }

bool OpensType(const std::string& line) {
  for (const std::string_view word : {"class ", "struct ", "enum ", "union ", "namespace "}) {
    if (line.find(word) != std::string::npos && line.find('(') == std::string::npos) return true;
  }
  return false;
}

// Where the declaration that begins at `first` ends: its closing brace or semicolon.
size_t EndOf(const std::vector<std::string>& lines, size_t first, size_t indent) {
  bool opened = false;
  for (size_t i = first; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    opened = opened || line.find('{') != std::string::npos;
    if (!opened && !line.empty() && line.back() == ';') return i;  // it only declares
    if (line.empty() || IndentOf(line) != indent) {
      if (i > first && !line.empty() && IndentOf(line) < indent) return i;
      continue;
    }
    if (line[indent] == '}' || (i == first && (line.back() == ';' || line.back() == '}'))) return i;
  }
  return lines.size();
}

struct Function {
  size_t first;
  size_t lines;
};

void Collect(const std::vector<std::string>& lines, size_t indent, std::vector<Function>& found) {
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (line.empty() || IndentOf(line) != indent) continue;
    const char start = line[indent];
    if (start == '/' || start == '#' || start == '}' || OpensType(line)) continue;
    if (line.find('(') == std::string::npos) continue;
    const size_t end = EndOf(lines, i, indent);
    if (end < lines.size() && IndentOf(lines[end]) == indent && lines[end][indent] == '}') {
      found.push_back({i, end - i + 1});
    }
    i = end;
  }
}

std::vector<Function> FunctionsOf(const std::vector<std::string>& lines) {
  std::vector<Function> found;
  Collect(lines, 0, found);  // functions
  Collect(lines, 2, found);  // members written inside their class, and blocks: shorter anyway
  return found;
}

TEST(Functions, TheMeasureSeesALongOne) {
  std::vector<std::string> lines = {"int F(int a,", "      int b) {"};
  for (int i = 0; i < 80; ++i) lines.push_back("  a += b;");
  lines.push_back("}");
  const auto found = FunctionsOf(lines);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.front().lines, 83u);
}

TEST(Functions, NoneIsLongerThanSeventyLines) {
  size_t seen = 0;
  for (const std::string folder : {"kvcache", "engine", "rpc", "tools", "tests", "bench"}) {
    for (const SourceFile& file : SourcesUnder(folder, {".h", ".cc"})) {
      if (file.lines.size() > kLongFile) {
        std::printf("long file: %s has %zu lines\n", file.path.c_str(), file.lines.size());
      }
      for (const Function& function : FunctionsOf(file.lines)) {
        ++seen;
        EXPECT_LE(function.lines, kLongestFunction) << file.path << ":" << function.first + 1;
      }
    }
  }
  EXPECT_GT(seen, 100u) << "the test no longer sees the functions";
}

}  // namespace
}  // namespace plimsoll
