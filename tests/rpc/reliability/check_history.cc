// Judges a recorded history: check_history TOTAL_BLOCKS learning|forgetful FILE... Prints what it
// is made of and every fault; exit code 1 where there is one. The word says what becomes of
// promises when the server is killed.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

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
  const int64_t total = argc > 3 ? std::atoll(argv[1]) : 0;
  const std::string kind = argc > 3 ? argv[2] : "";
  if (total <= 0 || (kind != "learning" && kind != "forgetful")) {
    std::fprintf(stderr, "check_history: want TOTAL_BLOCKS learning|forgetful FILE...\n");
    return 2;
  }
  std::vector<plimsoll::HistoryEvent> events;
  for (int i = 3; i < argc; ++i) {
    if (!ReadInto(argv[i], events)) return 2;
  }
  const plimsoll::HistoryReport report = plimsoll::CheckHistory(
      std::move(events), {.total_blocks = total, .learning = kind == "learning"});
  std::printf("{\"seconds\": %.1f, \"seconds_up\": %.1f", report.seconds, report.seconds_up);
  const auto count = [](const char* name, int64_t value) {
    std::printf(", \"%s\": %lld", name, static_cast<long long>(value));
  };
  count("calls", report.calls);
  count("answered", report.answered);
  count("decisions", report.decisions);
  count("slowest_second", report.slowest_second);
  count("grants", report.grants);
  count("claims", report.claims);
  count("server_lives", report.server_lives);
  count("clients_killed", report.clients_killed);
  count("peak_blocks", report.peak_blocks);
  count("faults", static_cast<int64_t>(report.faults.size()));
  std::printf("}\n");
  for (const std::string& fault : report.faults) std::fprintf(stderr, "%s\n", fault.c_str());
  return report.faults.empty() ? 0 : 1;
}
