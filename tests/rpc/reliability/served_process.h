// A `plimsoll serve --device none` of this build for tests of what it survives, and its figures.
//
// Threads: the test's. Errors: a figure that the system does not give aborts.
#pragma once

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rpc/client.h"
#include "tests/rpc/test_server.h"
#include "tests/tools/server_process.h"

namespace plimsoll {

class ServedProcess {
 public:
  // A ledger of 1000 blocks at a free port, unless `more` says otherwise; started by `before`.
  explicit ServedProcess(std::vector<std::string> more = {}, std::vector<std::string> before = {})
      : process_(Arguments(std::move(more)), std::move(before)) {
    PLIMSOLL_CHECK(!address().empty(), process_.output());
  }

  std::string address() const { return process_.address(); }
  ServerProcess& process() { return process_; }
  std::unique_ptr<Client> Connect() const {
    return std::move(Client::Create(PatientOptions(address()))).value();
  }
  AdmissionSnapshot Now() const { return Connect()->GetCapacity().value().snapshot; }
  bool AllFree() const {
    const AdmissionSnapshot now = Now();
    return now.blocks.free == now.blocks.total && now.reservations == 0;
  }

  // The most bytes that were ever resident.
  int64_t PeakBytes() const {
    std::ifstream status("/proc/" + std::to_string(process_.pid()) + "/status");
    std::string word;
    int64_t kilobytes = 0;
    while (status >> word && word != "VmHWM:") {
    }
    PLIMSOLL_CHECK(static_cast<bool>(status >> kilobytes));
    return kilobytes * 1024;
  }
  // Open ones: of connections, above all.
  int64_t Descriptors() const {
    const std::filesystem::directory_iterator all("/proc/" + std::to_string(process_.pid()) +
                                                  "/fd");
    return std::distance(begin(all), end(all));
  }
  // Of a processor, so far.
  Duration CpuTime() const {
    clockid_t clock{};
    timespec used{};
    PLIMSOLL_CHECK(clock_getcpuclockid(process_.pid(), &clock) == 0);
    PLIMSOLL_CHECK(clock_gettime(clock, &used) == 0);
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
  }
  // Whether it comes to rest: in some tenth of a second it takes less than half of one's processor.
  bool ComesToRest() const {
    return Eventually([this] {
      const Duration before = CpuTime();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return CpuTime() - before < std::chrono::milliseconds(50);
    });
  }

 private:
  static std::vector<std::string> Arguments(std::vector<std::string> more) {
    const std::vector<std::pair<std::string, std::string>> usual = {{"--device", "none"},
                                                                    {"--http", "none"},
                                                                    {"--blocks", "1000"},
                                                                    {"--listen", "127.0.0.1:0"}};
    for (const auto& [name, value] : usual) {
      if (std::find(more.begin(), more.end(), name) != more.end()) continue;
      more.insert(more.end(), {name, value});
    }
    return more;
  }

  ServerProcess process_;
};

}  // namespace plimsoll
