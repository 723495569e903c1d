#include "tools/bench/process_memory.h"

#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

namespace plimsoll {
namespace {

// The number of kB behind "\n<name>:".
std::optional<Bytes> FieldOf(std::string_view rollup, const std::string& name) {
  const std::string start = "\n" + name + ":";
  size_t at = rollup.find(start);
  if (at == std::string_view::npos) return std::nullopt;
  at = rollup.find_first_not_of(' ', at + start.size());
  if (at == std::string_view::npos) return std::nullopt;
  int64_t kilobytes = 0;
  const char* const end = rollup.data() + rollup.size();
  if (std::from_chars(rollup.data() + at, end, kilobytes).ec != std::errc()) return std::nullopt;
  if (kilobytes < 0 || kilobytes > int64_t{1} << 50) return std::nullopt;
  return Bytes(kilobytes * 1024);
}

}  // namespace

absl::StatusOr<Bytes> ResidentBytesIn(std::string_view rollup) {
  const std::optional<Bytes> anonymous = FieldOf(rollup, "Pss_Anon");
  const std::optional<Bytes> shared = FieldOf(rollup, "Pss_Shmem");
  if (anonymous && shared) return *anonymous + *shared;
  return absl::InternalError("/proc/self/smaps_rollup: want lines Pss_Anon and Pss_Shmem");
}

absl::StatusOr<Bytes> ResidentBytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  const std::string rollup{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return ResidentBytesIn(rollup);
}

}  // namespace plimsoll
