#include "tools/bench/admission_bench.h"

#include <algorithm>

#include "kvcache/base/errors.h"
#include "tools/bench/service_figures.h"

namespace plimsoll {
namespace {

constexpr char kBlocks[] = "100000";

// Where the Unix sockets are.
class SocketFolder {
 public:
  SocketFolder() : made_(mkdtemp(path_.data()) != nullptr) {}
  ~SocketFolder() {
    for (const char* name : {"ledger", "echo"}) std::remove((path_ + "/" + name).c_str());
    std::remove(path_.c_str());
  }
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;

  bool made() const { return made_; }
  std::string Address(const std::string& name) const { return "unix:" + path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/plimsoll-bench-XXXXXX";
  const bool made_;
};

absl::StatusOr<std::unique_ptr<ChildServer>> StartLedger(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"serve",    "--device",    "none",   "--blocks", kBlocks,
                                        "--listen", "127.0.0.1:0", "--http", "none"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return ChildServer::Start(std::move(arguments));
}

}  // namespace

double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

absl::Status AddStartFigure(const AdmissionBenchOptions& options, AdmissionFigures& figures) {
  const std::string what = std::string("start to ready, ledger of ") + kBlocks + " blocks";
  if (!Wanted(options, what)) return absl::OkStatus();
  std::vector<double> milliseconds;
  for (int i = 0; i < options.rounds; ++i) {
    const absl::StatusOr<std::unique_ptr<ChildServer>> ledger = StartLedger({});
    if (!ledger.ok()) return ledger.status();
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>((*ledger)->start_time()).count());
  }
  const double median = MedianOf(milliseconds);
  figures.push_back({.what = what,
                     .unit = "ms",
                     .ours = median,
                     .peer = {},
                     .judged = median,
                     .goal = 100,
                     .at_least = false});
  return absl::OkStatus();
}

absl::StatusOr<AdmissionFigures> MeasureAdmission(const AdmissionBenchOptions& options) {
  const SocketFolder folder;
  if (!folder.made()) return absl::InternalError("cannot make a folder in /tmp");
  const auto ledger = StartLedger({"--listen", folder.Address("ledger")});
  if (!ledger.ok()) return ledger.status();
  const auto echo = ChildServer::Start(
      {"bench", "admission", "--echo", "127.0.0.1:0", "--echo", folder.Address("echo")});
  if (!echo.ok()) return echo.status();
  AdmissionFigures figures;
  PLIMSOLL_RETURN_IF_ERROR(AddUnaryFigures(options, **ledger, **echo, figures));
  PLIMSOLL_RETURN_IF_ERROR(AddBatchFigures(options, **ledger, **echo, figures));
  PLIMSOLL_RETURN_IF_ERROR(AddSessionFigures(options, **ledger, **echo, figures));
  PLIMSOLL_RETURN_IF_ERROR(AddWatchFigures(options, **ledger, figures));
  PLIMSOLL_RETURN_IF_ERROR(AddLibraryFigures(options, figures));
  PLIMSOLL_RETURN_IF_ERROR(AddStartFigure(options, figures));
  return figures;
}

}  // namespace plimsoll
