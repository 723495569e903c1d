// The options of `plimsoll replay`.
#include <string>

#include "tools/client/security_arguments.h"
#include "tools/replay_arguments.h"

namespace plimsoll {
namespace {

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
    "and the room they save is counted, the time only step by step. --cache-only looks up each "
    "prompt in trace\n"
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
  replay.add_option("--sweep", a.sweep,
                    "Every policy at many settings: a table, and a page with the frontier in FILE");
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
                  "What requests say they generate at most: true, power-of-two, context, numbers\n"
                  "of which each says one (256,1024; one number: all that), or a range (64-1024)")
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
  replay
      .add_option("--seed", a.seed,
                  "Seed of what is random: prompt tokens of --work generate, and --declare")
      ->capture_default_str();
}

void AddTargetOptions(CLI::App& replay, ReplayArguments& a) {
  replay.add_option("--server", a.server, "Server to replay against (default: 127.0.0.1:8470)");
  AddSecurityArguments(replay, a.security);
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

void AddReplayOptions(CLI::App& replay, ReplayArguments& arguments) {
  AddSourceOptions(replay, arguments);
  AddTargetOptions(replay, arguments);
  AddStepOptions(replay, arguments);
  replay.add_option("--format", arguments.format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  replay.add_option("-o,--output", arguments.output, "File to write to (default: standard output)");
  replay.footer(kFooter);
}

}  // namespace plimsoll
