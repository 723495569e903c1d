// What `plimsoll replay` was asked for, and the steps that its files share.
//
// Threads: values. Errors: InvalidArgument naming the option.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/client_security.h"
#include "tools/replay/simulation.h"
#include "tools/replay/workload.h"

namespace plimsoll {

struct ReplayArguments {
  std::vector<std::string> traces;
  std::string format_of_trace, server, model, memory, work = "hold", wait = "1h";
  std::string format = "text", output;
  std::string eviction, policy, sweep, victim = "newest", declare = "true";
  double watermark = 0.01, overflow_goal = 0.01;
  bool backlog = false;
  std::optional<int64_t> context;
  bool simulate = false;
  bool cache_only = false;
  std::optional<int64_t> blocks, limit;
  int64_t block_tokens = 16;
  uint64_t seed = 0;
  int32_t vocab_size = 256;
  WorkloadOptions pace;
  ClientSecurity security;
};

void AddReplayOptions(CLI::App& replay, ReplayArguments& arguments);

// The pool to simulate: its blocks as given, or as planned for a model in a memory.
absl::StatusOr<SimulationOptions> PoolToSimulate(const ReplayArguments& arguments);

// Whether requests decode step by step, under a policy.
bool DecodesStepByStep(const ReplayArguments& arguments);
// Whether the options of that go together.
absl::Status CheckSteps(const ReplayArguments& arguments);
absl::StatusOr<ReplayReport> RunSteps(const ReplayArguments& arguments, const Workload& workload);
// Every policy at many settings: the table, as text or JSON. The page goes to its file.
absl::StatusOr<std::string> RunSweep(const ReplayArguments& arguments, const Workload& workload);

}  // namespace plimsoll
