// plimsoll replay: a trace of real traffic against a server, or against the library itself.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/base/errors.h"
#include "rpc/client.h"
#include "tools/command.h"
#include "tools/duration_text.h"
#include "tools/output_file.h"
#include "tools/replay/cache_replay.h"
#include "tools/replay/live_replay.h"
#include "tools/replay/simulation.h"
#include "tools/replay/trace.h"
#include "tools/replay_arguments.h"

namespace plimsoll {
namespace {

absl::Status CheckCacheOnly(const ReplayArguments& arguments) {
  const auto wrong = [](const char* why) {
    return absl::InvalidArgumentError(std::string("replay: ") + why);
  };
  if (!arguments.simulate || !arguments.server.empty()) {
    return wrong("--cache-only goes with --simulate and without --server");
  }
  if (arguments.eviction == "off") return wrong("--cache-only needs an --eviction other than off");
  if (!arguments.model.empty() || !arguments.memory.empty()) {
    return wrong("--cache-only takes --blocks N, or none for a cache without end");
  }
  return absl::OkStatus();
}

absl::Status CheckCombination(const ReplayArguments& arguments) {
  const auto wrong = [](const char* why) {
    return absl::InvalidArgumentError(std::string("replay: ") + why);
  };
  if (arguments.cache_only) return CheckCacheOnly(arguments);
  PLIMSOLL_RETURN_IF_ERROR(CheckSteps(arguments));
  const bool sized = arguments.blocks || !arguments.model.empty() || !arguments.memory.empty();
  if (!arguments.simulate) {
    if (!arguments.eviction.empty()) return wrong("--eviction goes with --simulate");
    return sized ? wrong("--model, --memory and --blocks go with --simulate") : absl::OkStatus();
  }
  if (!arguments.server.empty()) return wrong("--simulate needs no server; leave out --server");
  if (!arguments.blocks && (arguments.model.empty() || arguments.memory.empty())) {
    return wrong("no pool to simulate; give --blocks N, or --model PATH and --memory SIZE");
  }
  if (arguments.blocks && !arguments.memory.empty()) {
    return wrong("two sizes for one pool; give --blocks or --memory");
  }
  return absl::OkStatus();
}

// The range of a count, before it becomes one.
absl::Status CheckCounts(const ReplayArguments& arguments) {
  constexpr int64_t kMaxBlocks = INT32_MAX;
  if (arguments.blocks && (*arguments.blocks < 1 || *arguments.blocks > kMaxBlocks)) {
    return BadField("--blocks", *arguments.blocks, "1 to " + std::to_string(kMaxBlocks));
  }
  if (arguments.block_tokens < 1 || arguments.block_tokens > 1024) {
    return BadField("--block-tokens", arguments.block_tokens, "a power of two from 1 to 1024");
  }
  if (arguments.limit && *arguments.limit < 1) {
    return BadField("--limit", *arguments.limit, "at least 1");
  }
  if (arguments.context && (*arguments.context < 1 || *arguments.context > kMaxTokens)) {
    return BadField("--context", *arguments.context, "1 to " + std::to_string(kMaxTokens));
  }
  if (arguments.vocab_size < 1) return BadField("--vocab", arguments.vocab_size, "at least 1");
  return absl::OkStatus();
}

absl::StatusOr<ReplayReport> RunSimulation(const ReplayArguments& arguments,
                                           const Workload& workload) {
  if (DecodesStepByStep(arguments)) return RunSteps(arguments, workload);
  const absl::StatusOr<SimulationOptions> options = PoolToSimulate(arguments);
  if (!options.ok()) return options.status();
  return Simulate(workload, *options);
}

void ShowProgress(const ReplayProgress& progress) {
  std::fprintf(stderr, "\rreplay: %lld of %lld answered, %lld running \033[K",
               static_cast<long long>(progress.answered), static_cast<long long>(progress.requests),
               static_cast<long long>(progress.running));
}

absl::StatusOr<ReplayReport> RunLive(const ReplayArguments& arguments, const Workload& workload) {
  const absl::StatusOr<Duration> wait = ParseDuration(arguments.wait, "--wait");
  if (!wait.ok()) return wait.status();
  ClientOptions to;
  if (!arguments.server.empty()) to.server = arguments.server;
  to.security = arguments.security;
  const auto client = Client::Create(to);
  if (!client.ok()) return client.status();
  LiveReplayOptions options{
      .work = arguments.work == "generate" ? ReplayWork::kGenerate : ReplayWork::kHold,
      .max_wait = *wait,
      .seed = arguments.seed,
      .vocab_size = arguments.vocab_size};
  const bool on_terminal = isatty(STDERR_FILENO) != 0;
  if (on_terminal) options.on_progress = ShowProgress;
  absl::StatusOr<ReplayReport> report = ReplayAgainst(**client, workload, options);
  if (on_terminal) std::fprintf(stderr, "\r\033[K");
  return report;
}

// What a server must not do, after its report is out.
absl::Status Verdict(const ReplayReport& report) {
  if (!report.server) return absl::OkStatus();
  if (!report.server->conserved) {
    return absl::InternalError("replay: blocks were not conserved; see the server's log");
  }
  if (report.server->leaked > Blocks(0)) {
    return absl::InternalError("replay: " + std::to_string(report.server->leaked.value()) +
                               " blocks are still taken; was somebody else using the server?");
  }
  if (report.lost + report.failed == 0) return absl::OkStatus();
  return absl::InternalError(
      "replay: " + std::to_string(report.lost + report.failed) +
      " requests ended in errors, the first being: " + report.errors.begin()->first);
}

TraceCut CutOf(const ReplayArguments& arguments) {
  TraceCut cut{.limit = arguments.limit};
  if (arguments.context) cut.longest = Tokens(*arguments.context);
  return cut;
}

absl::StatusOr<ReplayReport> RunCacheOnly(const ReplayArguments& arguments) {
  const auto trace = ReadTraces(arguments.traces, TraceFormatFromName(arguments.format_of_trace),
                                CutOf(arguments));
  if (!trace.ok()) return trace.status();
  CacheReplayOptions options{
      .eviction = EvictionFromName(arguments.eviction).value_or(Eviction::kLru),
      .block_tokens = Tokens(arguments.block_tokens)};
  if (arguments.blocks) options.blocks = Blocks(*arguments.blocks);
  return ReplayCache(*trace, options);
}

absl::StatusOr<Workload> ReadWorkload(const ReplayArguments& arguments) {
  const auto trace = ReadTraces(arguments.traces, TraceFormatFromName(arguments.format_of_trace),
                                CutOf(arguments));
  if (!trace.ok()) return trace.status();
  WorkloadOptions pace = arguments.pace;
  if (!arguments.simulate && arguments.work == "generate") pace.least_output = Tokens(1);
  return MakeWorkload(*trace, pace);
}

absl::StatusOr<ReplayReport> RunAsAsked(const ReplayArguments& arguments) {
  if (arguments.cache_only) return RunCacheOnly(arguments);
  const absl::StatusOr<Workload> workload = ReadWorkload(arguments);
  if (!workload.ok()) return workload.status();
  return arguments.simulate ? RunSimulation(arguments, *workload) : RunLive(arguments, *workload);
}

absl::Status RunAndWriteSweep(const ReplayArguments& arguments) {
  const absl::StatusOr<Workload> workload = ReadWorkload(arguments);
  if (!workload.ok()) return workload.status();
  const absl::StatusOr<std::string> table = RunSweep(arguments, *workload);
  if (!table.ok()) return table.status();
  return WriteOutput(arguments.output, *table);
}

absl::Status RunReplay(const ReplayArguments& arguments) {
  PLIMSOLL_RETURN_IF_ERROR(CheckCombination(arguments));
  PLIMSOLL_RETURN_IF_ERROR(CheckCounts(arguments));
  if (!arguments.sweep.empty()) return RunAndWriteSweep(arguments);
  absl::StatusOr<ReplayReport> report = RunAsAsked(arguments);
  if (!report.ok()) return report.status();
  report->seed = arguments.seed;
  const std::string text = arguments.format == "json" ? ToJson(*report) : ToText(*report);
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(arguments.output, text));
  return Verdict(*report);
}

}  // namespace

void AddReplayCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const replay = app.add_subcommand(
      "replay", "Replay a trace of requests against a server, or in a simulation");
  const auto arguments = std::make_shared<ReplayArguments>();
  AddReplayOptions(*replay, *arguments);
  replay->callback([arguments, &result] {
    const absl::Status status = RunReplay(*arguments);
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
