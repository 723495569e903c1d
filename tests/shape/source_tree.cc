#include "tests/shape/source_tree.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace plimsoll {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> LinesOf(const fs::path& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

std::vector<SourceFile> SourcesUnder(const std::string& folder,
                                     const std::vector<std::string>& endings) {
  const fs::path root = PLIMSOLL_SOURCE_DIR;
  std::vector<SourceFile> files;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    const std::string name = entry.path().filename().string();
    const bool wanted = std::any_of(endings.begin(), endings.end(),
                                    [&](const std::string& end) { return name.ends_with(end); });
    if (entry.is_regular_file() && wanted) {
      files.push_back({fs::relative(entry.path(), root).string(), LinesOf(entry.path())});
    }
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

std::string TextOf(const std::string& path) {
  std::ifstream in(fs::path(PLIMSOLL_SOURCE_DIR) / path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace plimsoll
