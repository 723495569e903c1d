// The subcommands of `plimsoll`: each Add<Name>Command, in command_<name>.cc, declares its
// arguments on `app` and sets a callback that does the work and leaves the exit code.
//
// Exit codes: 0 success, 1 failure while running, 2 bad usage or bad input, 3 refused, 4 server
// unreachable. Errors are one line on standard error: "plimsoll: <what>: <why>[; <what to do>]".
#pragma once

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace plimsoll {

struct CommandResult {
  int exit_code = 0;
};

// Prints `status` as the one-line error and returns the exit code that goes with it.
int ReportError(const absl::Status& status);

void AddBenchCommand(CLI::App& app, CommandResult& result);  // memory, concurrency
void AddPlanCommand(CLI::App& app, CommandResult& result);
void AddPlanTrainingCommand(CLI::App& app, CommandResult& result);
void AddGpusCommand(CLI::App& app, CommandResult& result);
void AddGenerateCommand(CLI::App& app, CommandResult& result);
void AddMakeModelCommand(CLI::App& app, CommandResult& result);
void AddQuantizeCommand(CLI::App& app, CommandResult& result);
void AddServeCommand(CLI::App& app, CommandResult& result);
void AddClientCommands(CLI::App& app, CommandResult& result);  // capacity, reserve, ...
void AddReplayCommand(CLI::App& app, CommandResult& result);
void AddCompletionCommands(CLI::App& app, CommandResult& result);  // completion, man
void AddTopCommand(CLI::App& app, CommandResult& result);

}  // namespace plimsoll
