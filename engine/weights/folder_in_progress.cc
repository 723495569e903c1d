#include "engine/weights/folder_in_progress.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <system_error>

#include "kvcache/base/errors.h"

namespace plimsoll {

namespace fs = std::filesystem;

FolderInProgress::FolderInProgress(const fs::path& target)
    : target_(target), path_(target.string() + ".partial-" + std::to_string(getpid())) {}

FolderInProgress::~FolderInProgress() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

absl::Status FolderInProgress::CheckTarget(const std::string& folder) {
  std::error_code error;
  if (folder.empty()) return absl::InvalidArgumentError("no folder to write to");
  const fs::file_status status = fs::status(folder, error);
  if (!fs::exists(status)) return absl::OkStatus();
  if (!fs::is_directory(status)) return absl::InvalidArgumentError(folder + ": not a folder");
  if (fs::is_empty(folder, error) && !error) return absl::OkStatus();
  return absl::InvalidArgumentError(folder + ": not empty; name a folder that does not exist yet");
}

absl::Status FolderInProgress::Create() {
  std::error_code error;
  fs::create_directories(path_, error);
  if (!error) return absl::OkStatus();
  return absl::InternalError(path_.string() + ": " + error.message());
}

absl::Status FolderInProgress::WriteText(const char* name, const std::string& text) {
  std::ofstream out(path_ / name, std::ios::binary);
  out << text;
  out.close();
  return out ? absl::OkStatus() : absl::InternalError(File(name) + ": cannot write");
}

absl::Status FolderInProgress::Complete() {
  if (std::rename(path_.c_str(), target_.c_str()) == 0) return absl::OkStatus();
  return Annotate(SystemError("rename", errno), target_.string());
}

}  // namespace plimsoll
