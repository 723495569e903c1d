// The project's own sources, for the tests of its shape.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace plimsoll {

// Path relative to the project's root, with its lines.
struct SourceFile {
  std::string path;
  std::vector<std::string> lines;
};

// Every file below `folder` whose name ends in one of `endings`, sorted by path.
std::vector<SourceFile> SourcesUnder(const std::string& folder,
                                     const std::vector<std::string>& endings);

// The whole file as text; empty if it is not there.
std::string TextOf(const std::string& path);

}  // namespace plimsoll
