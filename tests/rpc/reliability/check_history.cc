// Judges a recorded history: check_history TOTAL_BLOCKS FILE... Prints what it is made of and every
// fault; exit code 1 where there is one.
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/rpc/reliability/history_check.h"

namespace {

// A last line that was cut off by the end of its writer is no event and no fault.
bool ReadInto(const char* path, std::vector<plimsoll::HistoryEvent>& events) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const std::optional<plimsoll::HistoryEvent> event = plimsoll::FromLine(line);
    if (event) events.push_back(*event);
    if (event || file.eof()) continue;
    std::fprintf(stderr, "check_history: %s: not an event: %s\n", path, line.c_str());
    return false;
  }
  return !file.bad();
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t total = argc > 2 ? std::atoll(argv[1]) : 0;
  if (total <= 0) {
    std::fprintf(stderr, "check_history: want TOTAL_BLOCKS FILE...\n");
    return 2;
  }
  std::vector<plimsoll::HistoryEvent> events;
  for (int i = 2; i < argc; ++i) {
    if (!ReadInto(argv[i], events)) return 2;
  }
  const plimsoll::HistoryReport report =
      plimsoll::CheckHistory(std::move(events), {.total_blocks = total});
  std::printf(
      "{\"seconds\": %.1f, \"calls\": %lld, \"answered\": %lld, \"decisions\": %lld, \"grants\": "
      "%lld, "
      "\"server_lives\": %lld, \"clients_killed\": %lld, \"peak_blocks\": %lld, \"faults\": %zu}\n",
      report.seconds, static_cast<long long>(report.calls), static_cast<long long>(report.answered),
      static_cast<long long>(report.decisions), static_cast<long long>(report.grants),
      static_cast<long long>(report.server_lives), static_cast<long long>(report.clients_killed),
      static_cast<long long>(report.peak_blocks), report.faults.size());
  for (const std::string& fault : report.faults) std::fprintf(stderr, "%s\n", fault.c_str());
  return report.faults.empty() ? 0 : 1;
}
