// The architecture as a test: which folder may include which.
#include <map>
#include <regex>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "tests/shape/source_tree.h"

namespace plimsoll {
namespace {

// A folder may include itself and those it names; the innermost entry decides.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"kvcache/base", {}},
    {"kvcache/model", {"kvcache/base"}},
    {"kvcache/sizing", {"kvcache/base", "kvcache/model"}},
    {"kvcache/pool", {"kvcache/base", "kvcache/sizing"}},
    {"kvcache/admission", {"kvcache/base", "kvcache/sizing", "kvcache/pool"}},
    {"kvcache/c",
     {"kvcache/base", "kvcache/model", "kvcache/sizing", "kvcache/pool", "kvcache/admission"}},
    {"engine/device", {"kvcache", "engine/ops"}},
    {"engine/ops", {"kvcache"}},
    {"engine/weights", {"kvcache", "engine/ops", "engine/device"}},
    {"engine/decoder", {"kvcache", "engine/ops", "engine/device", "engine/weights"}},
    {"engine/loop", {"kvcache", "engine/ops", "engine/device", "engine/weights", "engine/decoder"}},
    {"engine", {"kvcache"}},
    {"rpc", {"kvcache", "engine", "proto"}},
    {"tools", {"kvcache", "engine", "rpc", "proto"}},
};

const std::vector<std::string> kOutside = {"grpc", "cuda", "cublas", "google/protobuf",
                                           "plimsoll/v1"};

bool Under(const std::string& path, const std::string& folder) {
  return path.starts_with(folder + "/");
}

std::string FolderOf(const std::string& path) {
  std::string best;
  for (const auto& [folder, allowed] : kMayInclude) {
    if (Under(path, folder) && folder.size() > best.size()) best = folder;
  }
  return best;
}

bool Allowed(const std::string& file, const std::string& included) {
  const std::string folder = FolderOf(file);
  if (Under(included, folder)) return true;
  for (const std::string& below : kMayInclude.at(folder)) {
    if (Under(included, below)) return true;
  }
  return false;
}

std::vector<std::string> IncludesOf(const SourceFile& file) {
  static const std::regex kInclude(R"(^\s*#\s*include\s+["<]([^">]+)[">])");
  std::vector<std::string> found;
  for (const std::string& line : file.lines) {
    std::smatch match;
    if (std::regex_search(line, match, kInclude)) found.push_back(match[1]);
  }
  return found;
}

TEST(Layers, EveryIncludePointsDownwards) {
  int seen = 0;
  for (const std::string folder : {"kvcache", "engine", "rpc", "tools"}) {
    for (const SourceFile& file : SourcesUnder(folder, {".h", ".cc", ".cu", ".cuh"})) {
      for (const std::string& included : IncludesOf(file)) {
        const std::string top = included.substr(0, included.find('/'));
        if (top == "tests" || top == "bench")
          ADD_FAILURE() << file.path << " includes " << included;
        if (FolderOf(included).empty()) continue;
        ++seen;
        EXPECT_TRUE(Allowed(file.path, included)) << file.path << " includes " << included;
      }
    }
  }
  EXPECT_GT(seen, 50) << "the test no longer sees the includes";
}

TEST(Layers, TheLibraryIncludesNoCudaAndNoRpc) {
  for (const SourceFile& file : SourcesUnder("kvcache", {".h", ".cc"})) {
    for (const std::string& included : IncludesOf(file)) {
      for (const std::string& outside : kOutside) {
        EXPECT_FALSE(included.starts_with(outside)) << file.path << " includes " << included;
      }
    }
  }
}

TEST(Layers, OnlyCudaFilesIncludeCuda) {
  for (const SourceFile& file : SourcesUnder("engine", {".h", ".cc", ".cu", ".cuh"})) {
    const bool kernel = file.path.ends_with(".cu") || file.path.ends_with(".cuh");
    const bool may = kernel || file.path.find("cuda") != std::string::npos;
    for (const std::string& included : IncludesOf(file)) {
      if (included.starts_with("cuda") || included.starts_with("cublas")) {
        EXPECT_TRUE(may) << file.path << " includes " << included;
      }
      if (kernel) {
        EXPECT_FALSE(included.starts_with("absl/")) << file.path << " includes " << included;
      }
    }
  }
}

}  // namespace
}  // namespace plimsoll
