#include "engine/device/host_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "absl/status/status.h"

namespace plimsoll {
namespace {

// Where one version of control groups keeps its numbers.
struct GroupFiles {
  const char* folder;
  const char* limit;
  const char* usage;
  const char* inactive;  // key in memory.stat
};
constexpr GroupFiles kVersion1 = {"sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                  "memory.usage_in_bytes", "total_inactive_file"};
constexpr GroupFiles kVersion2 = {"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};

// The number that a file starts with; nullopt for no file and for "max".
std::optional<int64_t> NumberIn(const std::string& path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (!(file >> number) || number < 0) return std::nullopt;
  return number;
}

// The number behind `key` at the start of a line.
std::optional<int64_t> NumberBehind(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    int64_t number = 0;
    if (words >> word >> number && word == key && number >= 0) return number;
  }
  return std::nullopt;
}

// Narrows `memory` by the limit of the group in `folder`, if it has one.
void Narrow(const std::string& folder, const GroupFiles& files, DeviceMemory& memory) {
  const std::optional<int64_t> limit = NumberIn(folder + "/" + files.limit);
  if (!limit) return;
  const int64_t usage = NumberIn(folder + "/" + files.usage).value_or(0);
  const int64_t inactive = NumberBehind(folder + "/memory.stat", files.inactive).value_or(0);
  const int64_t taken = std::max<int64_t>(0, usage - inactive);
  memory.total = std::min(memory.total, Bytes(*limit));
  memory.free = std::min(memory.free, Bytes(std::max<int64_t>(0, *limit - taken)));
}

// The group and every one above it. Inside a container the path may name folders that only the host
// sees; those are passed over.
void NarrowUpwards(const std::string& root, std::string group, const GroupFiles& files,
                   DeviceMemory& memory) {
  for (;;) {
    Narrow(root + files.folder + group, files, memory);
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return;
    group.resize(slash);
  }
}

}  // namespace

absl::StatusOr<DeviceMemory> HostMemory(const std::string& root) {
  const std::string meminfo = root + "proc/meminfo";
  const std::optional<int64_t> total = NumberBehind(meminfo, "MemTotal:");
  const std::optional<int64_t> available = NumberBehind(meminfo, "MemAvailable:");
  if (!total || !available) {
    return absl::InternalError(meminfo + ": no MemTotal and MemAvailable in it");
  }
  DeviceMemory memory = {1024 * Bytes(*total), 1024 * Bytes(*available)};
  std::ifstream groups(root + "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::/a/b" or "9:memory:/a/b"
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty()) NarrowUpwards(root, group, kVersion2, memory);
    if (controllers == "memory") NarrowUpwards(root, group, kVersion1, memory);
  }
  memory.free = std::min(memory.free, memory.total);
  return memory;
}

}  // namespace plimsoll
