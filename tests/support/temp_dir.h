// A folder that lives as long as the object: for tests that need files.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "kvcache/base/check.h"

namespace plimsoll {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "plimsoll-XXXXXX").string();
    PLIMSOLL_CHECK(mkdtemp(pattern.data()) != nullptr, pattern);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string File(std::string_view name) const { return path_ + "/" + std::string(name); }

  // Writes `content` to File(name), making folders in between, and returns the path.
  std::string Write(std::string_view name, std::string_view content) const {
    const std::string file = File(name);
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream out(file, std::ios::binary);
    out << content;
    out.close();
    PLIMSOLL_CHECK(out.good(), file);
    return file;
  }

 private:
  std::string path_;
};

// The whole file.
inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  PLIMSOLL_CHECK(in.good(), path);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace plimsoll
