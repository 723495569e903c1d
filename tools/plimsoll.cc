// The `plimsoll` command: finds the subcommand, runs it, and turns what goes wrong into one line.
#include <cstdio>
#include <exception>
#include <string>

#include "absl/synchronization/mutex.h"
#include "tools/command.h"
#include "tools/whole_numbers.h"

namespace plimsoll {

int ReportError(const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "plimsoll: %s\n", message.c_str());
  if (absl::IsInvalidArgument(status)) return 2;
  if (absl::IsUnavailable(status)) return 4;
  return 1;
}

namespace {

int Main(int argc, char** argv) {
  CLI::App app{
      "Says how many sequences fit in GPU memory, owns the paged KV cache while serving, "
      "and answers yes, wait or never to each request before it is sent.",
      "plimsoll"};
  app.set_version_flag("--version", std::string("plimsoll ") + PLIMSOLL_VERSION);
  app.require_subcommand(1);
  app.fallthrough(false);
  CommandResult result;
  AddPlanCommand(app, result);
  AddPlanTrainingCommand(app, result);
  AddGpusCommand(app, result);
  AddServeCommand(app, result);
  AddReplayCommand(app, result);
  AddGenerateCommand(app, result);
  AddMakeModelCommand(app, result);
  AddQuantizeCommand(app, result);
  AddBenchCommand(app, result);
  AddClientCommands(app, result);
  AddTopCommand(app, result);
  AddCompletionCommands(app, result);
  CheckWholeNumbers(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "plimsoll: %s; see plimsoll --help\n", error.what());
    return 2;
  }
  return result.exit_code;
}

}  // namespace
}  // namespace plimsoll

int main(int argc, char** argv) {
#ifndef PLIMSOLL_DEBUG_CHECKS
  // A distribution may build Abseil with its debug checks. Then every lock that gRPC takes is
  // entered into a graph, to find deadlocks: a twentieth of what a small call costs.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  return plimsoll::Main(argc, argv);
}
