// A folder that appears whole or not at all: it is filled beside its target and becomes it when it
// is complete; if it never is, it is removed with what is in it.
//
// Threads: none. Cost: none. Errors: InvalidArgument for a target that is not empty; Internal, with
// the cause, when the file system refuses.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"

namespace plimsoll {

class FolderInProgress {
 public:
  explicit FolderInProgress(const std::filesystem::path& target);
  ~FolderInProgress();
  FolderInProgress(const FolderInProgress&) = delete;
  FolderInProgress& operator=(const FolderInProgress&) = delete;

  // The target must not exist, or be an empty folder.
  static absl::Status CheckTarget(const std::string& folder);

  absl::Status Create();
  absl::Status WriteText(const char* name, const std::string& text);
  absl::Status Complete();
  std::string File(const char* name) const { return (path_ / name).string(); }

 private:
  const std::filesystem::path target_;
  const std::filesystem::path path_;
};

}  // namespace plimsoll
