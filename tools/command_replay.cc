// plimsoll replay: a trace of real traffic against a server, or against the library itself.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/inference_plan.h"
#include "rpc/client.h"
#include "tools/command.h"
#include "tools/duration_text.h"
#include "tools/output_file.h"
#include "tools/replay/cache_replay.h"
#include "tools/replay/live_replay.h"
#include "tools/replay/simulation.h"
#include "tools/replay/step_simulation.h"
#include "tools/replay/trace.h"

namespace plimsoll {
namespace {

struct ReplayArguments {
  std::vector<std::string> traces;
  std::string format_of_trace, server, model, memory, work = "hold", wait = "1h";
  std::string format = "text", output;
  std::string eviction, policy, victim = "newest", declare = "true";
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
};

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

bool DecodesStepByStep(const ReplayArguments& arguments) {
  return arguments.backlog || !arguments.policy.empty();
}

absl::Status CheckSteps(const ReplayArguments& arguments) {
  if (!DecodesStepByStep(arguments)) return absl::OkStatus();
  if (!arguments.simulate) {
    return absl::InvalidArgumentError("replay: --backlog and --policy go with --simulate");
  }
  if (arguments.eviction.empty() || arguments.eviction == "off") return absl::OkStatus();
  return absl::InvalidArgumentError(
      "replay: --eviction goes without --backlog and --policy: they share no prefixes yet");
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

absl::StatusOr<Blocks> PlannedBlocks(const ModelConfig& model, const ReplayArguments& arguments) {
  const absl::StatusOr<Bytes> memory = ParseSize(arguments.memory, "--memory");
  if (!memory.ok()) return memory.status();
  InferenceOptions options{.device_bytes = *memory, .weights = std::nullopt, .kv = std::nullopt};
  options.block_tokens = Tokens(arguments.block_tokens);
  const absl::StatusOr<InferencePlan> plan = PlanInference(model, options);
  if (!plan.ok()) return plan.status();
  if (plan->fits()) return plan->blocks;
  return absl::ResourceExhaustedError(model.name + ": does not fit in --memory " +
                                      arguments.memory + ": " + FormatSize(plan->shortfall_bytes) +
                                      " short");
}

absl::StatusOr<SimulationOptions> PoolToSimulate(const ReplayArguments& arguments) {
  SimulationOptions options{.blocks = Blocks(arguments.blocks.value_or(0)),
                            .block_tokens = Tokens(arguments.block_tokens)};
  options.eviction = EvictionFromName(arguments.eviction).value_or(Eviction::kOff);
  if (arguments.model.empty()) return options;
  const absl::StatusOr<ModelConfig> model = ReadModelConfig(arguments.model);
  if (!model.ok()) return model.status();
  options.max_context = model->max_context;
  if (arguments.blocks) return options;
  const absl::StatusOr<Blocks> blocks = PlannedBlocks(*model, arguments);
  if (!blocks.ok()) return blocks.status();
  options.blocks = *blocks;
  return options;
}

absl::StatusOr<DeclaredLength> Declared(const std::string& text) {
  if (text == "true") return DeclaredLength{};
  if (text == "power-of-two") return DeclaredLength{DeclaredLength::Rule::kPowerOfTwo};
  if (text == "context") return DeclaredLength{DeclaredLength::Rule::kContext};
  int64_t tokens = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tokens);
  if (error != std::errc() || end != text.data() + text.size() || tokens < 1 ||
      tokens > kMaxTokens) {
    return BadField("--declare", text, "true, power-of-two, context, or a number of tokens");
  }
  return DeclaredLength{DeclaredLength::Rule::kAtLeast, Tokens(tokens)};
}

absl::StatusOr<ReplayReport> RunSteps(const ReplayArguments& arguments, const Workload& workload) {
  const absl::StatusOr<SimulationOptions> pool = PoolToSimulate(arguments);
  if (!pool.ok()) return pool.status();
  const absl::StatusOr<DeclaredLength> declared = Declared(arguments.declare);
  if (!declared.ok()) return declared.status();
  StepOptions options{
      .blocks = pool->blocks,
      .block_tokens = pool->block_tokens,
      .context = std::min(pool->max_context, Tokens(arguments.context.value_or(kMaxTokens)))};
  options.policy = {.policy = PolicyFromName(arguments.policy).value_or(Policy::kNeverEvict),
                    .watermark = arguments.watermark,
                    .overflow_goal = arguments.overflow_goal};
  options.victim = VictimRuleFromName(arguments.victim).value_or(VictimRule::kNewest);
  options.declared = *declared;
  options.backlog = arguments.backlog;
  return SimulateSteps(workload, options);
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

absl::Status RunReplay(const ReplayArguments& arguments) {
  PLIMSOLL_RETURN_IF_ERROR(CheckCombination(arguments));
  PLIMSOLL_RETURN_IF_ERROR(CheckCounts(arguments));
  absl::StatusOr<ReplayReport> report = RunAsAsked(arguments);
  if (!report.ok()) return report.status();
  report->seed = arguments.seed;
  const std::string text = arguments.format == "json" ? ToJson(*report) : ToText(*report);
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(arguments.output, text));
  return Verdict(*report);
}

constexpr char kFooter[] =
    "Traces, told apart by their first line:\n"
    "  mooncake  JSON lines with timestamp (milliseconds), input_length and output_length\n"
    "            (tokens) and hash_ids (one number per block of the prompt; equal numbers stand\n"
    "            for equal prefixes)\n"
    "  azure     CSV with the columns TIMESTAMP (2023-11-16 18:15:46.6805900), ContextTokens and\n"
    "            GeneratedTokens\n"
    "  lengths   CSV with the columns num_prefill_tokens and num_decode_tokens; there are no\n"
    "            arrivals, so all requests come at once\n"
    "Times may repeat but not run backwards; an output of 0 tokens is a prefill and no more.\n\n"
    "hash_ids are used in simulations with --eviction: full blocks of prompts are shared and "
    "kept,\n"
    "and the room they save is counted, not the time. --cache-only looks up each prompt in trace\n"
    "order, the part last block included, then keeps its blocks, last to first, then evicts.\n\n"
    "--policy and --backlog decode step by step, one token of every running request in each. "
    "Where\n"
    "a request finds no block, one stops (preempted) and starts over later: recomputed_tokens "
    "counts\n"
    "what it had. overflows counts the steps in which that happened, decisions those in which\n"
    "requests started; queue_us runs from arrival to the first start; pool_fraction is the share "
    "of\n"
    "the whole pool, over time, that held a token.\n\n"
    "hold keeps a reservation for prompt / prefill-rate + output x decode-ms, and --speed divides\n"
    "that time and the arrivals; generate decodes for real, whatever time it takes.\n\n"
    "In the report: waited counts requests admitted after queueing; means are weighted by time,\n"
    "from the first arrival to the last completion; useful_fraction is the share of token slots\n"
    "in promised blocks, added up over time, that held a token; prompt_tokens and prompt_blocks\n"
    "are those of admitted requests; admission_us runs from sending a request to its grant,\n"
    "queueing included.\n"
    "Exit code: 0 done, 1 blocks leaked or requests ended in errors, 2 bad usage or trace, 4 no\n"
    "server.\n\n"
    "Examples: plimsoll replay --trace t.jsonl --simulate --model Llama-3.1-8B --memory 80GiB\n"
    "          plimsoll replay --trace t.csv --simulate --backlog --policy quantile --blocks 981\n"
    "          plimsoll replay --trace t.csv --server unix:/run/plimsoll --work hold --speed 60";

// "8x" as "8".
std::string Times(std::string text) {
  if (text.size() > 1 && text.back() == 'x') text.pop_back();
  return text;
}

void AddStepOptions(CLI::App& replay, ReplayArguments& a) {
  replay
      .add_option("--policy", a.policy,
                  "Simulate step by step how requests are admitted, stopped and started over")
      ->check(CLI::IsMember({"never-evict", "watermark", "quantile"}));
  replay.add_flag("--backlog", a.backlog,
                  "Step by step, all requests waiting from the start, until the last one starts");
  replay.add_option("--watermark", a.watermark, "Share of the pool that --policy watermark keeps")
      ->capture_default_str();
  replay
      .add_option("--overflow-goal", a.overflow_goal,
                  "Overflows for each decision that --policy quantile allows")
      ->capture_default_str();
  replay.add_option("--victim", a.victim, "Who stops where there is no room: newest or cheapest")
      ->check(CLI::IsMember({"newest", "cheapest"}))
      ->capture_default_str();
  replay
      .add_option("--declare", a.declare,
                  "What requests say they generate at most: true, power-of-two, context, or N")
      ->capture_default_str();
}

void AddSourceOptions(CLI::App& replay, ReplayArguments& a) {
  replay.add_option("--trace", a.traces, "File of requests to replay; given again: after it")
      ->required()
      ->allow_extra_args(false);
  replay.add_option("--format-of-trace", a.format_of_trace, "Its format (default: by first line)")
      ->check(CLI::IsMember({"mooncake", "azure", "lengths"}));
  replay.add_option("--context", a.context, "Leave out requests of more than N tokens in all");
  replay.add_option("--limit", a.limit, "Replay only the first N requests of each trace");
  replay.add_option("--speed", a.pace.speed, "How many times faster than the trace")
      ->capture_default_str();
  replay.add_option("--arrivals", a.pace.arrivals, "How many times more often (8x, 8)")
      ->transform(Times)
      ->capture_default_str();
  replay.add_option("--scale-lengths", a.pace.scale_lengths, "Factor on every length")
      ->capture_default_str();
  replay.add_option("--prefill-rate", a.pace.prefill_rate, "Prompt tokens per second")
      ->capture_default_str();
  replay.add_option("--decode-ms", a.pace.decode_ms, "Milliseconds of an output token")
      ->capture_default_str();
  replay.add_option("--seed", a.seed, "Seed of what is random: prompt tokens of --work generate")
      ->capture_default_str();
}

void AddTargetOptions(CLI::App& replay, ReplayArguments& a) {
  replay.add_option("--server", a.server, "Server to replay against (default: 127.0.0.1:8470)");
  replay.add_option("--work", a.work, "hold: keep the reservation; generate: really decode")
      ->check(CLI::IsMember({"hold", "generate"}))
      ->capture_default_str();
  replay.add_option("--wait", a.wait, "How long a request may queue; 0s: not at all")
      ->capture_default_str();
  replay.add_option("--vocab", a.vocab_size, "Prompt tokens are below this, for --work generate")
      ->capture_default_str();
  replay.add_flag("--simulate", a.simulate, "Use the library on a simulated clock, and no server");
  replay.add_flag("--cache-only", a.cache_only,
                  "With --simulate: only look prompts up in the cache and keep them, without time");
  replay
      .add_option("--eviction", a.eviction,
                  "Share prefixes in the simulation, and evict in this order (default: off;\n"
                  "with --cache-only: lru)")
      ->check(CLI::IsMember({"off", "fifo", "lru", "learned"}));
  replay.add_option("--blocks", a.blocks, "Blocks of the simulated pool, or of the cache");
  replay.add_option("--model", a.model, "Model folder or config.json to size the pool for");
  replay.add_option("--memory", a.memory, "Device memory to size the pool for (80GiB, 80GB)");
  replay.add_option("--block-tokens", a.block_tokens, "Tokens of a simulated block")
      ->capture_default_str();
}

}  // namespace

void AddReplayCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const replay = app.add_subcommand(
      "replay", "Replay a trace of requests against a server, or in a simulation");
  const auto arguments = std::make_shared<ReplayArguments>();
  AddSourceOptions(*replay, *arguments);
  AddTargetOptions(*replay, *arguments);
  AddStepOptions(*replay, *arguments);
  replay->add_option("--format", arguments->format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  replay->add_option("-o,--output", arguments->output,
                     "File to write to (default: standard output)");
  replay->footer(kFooter);
  replay->callback([arguments, &result] {
    const absl::Status status = RunReplay(*arguments);
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
