#include "kvcache/model/folder_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

namespace plimsoll {

namespace fs = std::filesystem;

// Both the first step and each further one may fail; the overloads without an error throw.
absl::StatusOr<std::vector<std::string>> FilesEndingWith(std::string_view ending,
                                                         const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    std::string name = at->path().filename().string();
    std::error_code unknown;  // is no folder
    if (name.ends_with(ending) && !at->is_directory(unknown)) names.push_back(std::move(name));
  }
  if (error) return absl::InternalError(folder + ": " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace plimsoll
