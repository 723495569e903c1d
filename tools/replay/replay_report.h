// What a replay found, for people and for programs.
//
// Threads: a value. Cost: O(reasons). Errors: none.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"

namespace plimsoll {

// From the smallest to the largest; zeros where nothing was measured.
struct LatencyFigures {
  Duration p50 = Duration::zero();
  Duration p99 = Duration::zero();
  Duration max = Duration::zero();
};

// The nearest-rank percentiles of `samples`.
LatencyFigures LatencyFiguresOf(std::vector<Duration> samples);

struct GenerationFigures {
  int64_t generated_tokens = 0;
  double tokens_per_second = 0;  // from the first admission to the last token
};

// Memory of one stage of the server's start-up.
struct MemoryFigures {
  std::string stage;
  Bytes predicted;
  Bytes measured;
};

// What only a replay against a server can say.
struct ServerFigures {
  LatencyFigures admission;   // from sending a request to holding its grant, queueing included
  Blocks leaked = Blocks(0);  // taken at the end beyond what was taken before the first request
  bool conserved = true;      // live + cached + reserved + free was total, before and after
  std::optional<GenerationFigures> generation = std::nullopt;
  std::string device = {};                 // "cpu", "cuda", or "none" for a ledger
  std::vector<MemoryFigures> memory = {};  // of an engine
};

// What only a simulation step by step can say.
struct StepFigures {
  std::string policy = {}, victim = {};
  int64_t steps = 0;
  int64_t decisions = 0;          // steps in which requests started
  int64_t overflows = 0;          // steps in which a request had to stop for another
  Tokens recomputed = Tokens(0);  // of requests that stopped, what they had
  LatencyFigures queued = {};     // from arrival to the first start
  double pool_fraction = 0;       // of the pool's token slots over time, those that held a token
};

struct ReplayReport {
  uint64_t seed = 0;
  Tokens block_tokens = Tokens(1);
  Blocks total_blocks = Blocks(0);
  std::string eviction = {};  // of cached prefixes; empty where none are kept

  // requests == admitted + refused + lost, where an admitted one may still fail later.
  int64_t requests = 0;
  int64_t admitted = 0;
  int64_t waited = 0;  // of those admitted, after queueing
  int64_t refused = 0;
  int64_t lost = 0;       // no answer came, only an error
  int64_t failed = 0;     // of those admitted, cut off by an error
  int64_t preempted = 0;  // how often one of those admitted stopped, to start over later
  std::map<std::string, int64_t> refusals = {};  // by reason
  std::map<std::string, int64_t> errors = {};    // of those lost or failed, by message

  int64_t peak_sequences = 0;
  double mean_sequences = 0;  // by time, from the first arrival to the last completion
  Blocks peak_blocks = Blocks(0);
  // Of the token slots in blocks promised to requests, added up over time, those that held a token.
  double useful_fraction = 0;

  // Of requests admitted.
  Tokens prompt_tokens = Tokens(0);
  Blocks prompt_blocks = Blocks(0);
  Tokens prefix_hit_tokens = Tokens(0);
  Blocks prefix_hit_blocks = Blocks(0);

  std::optional<ServerFigures> server = std::nullopt;
  std::optional<StepFigures> steps = std::nullopt;
};

// One JSON object and a newline; the same report gives the same bytes.
std::string ToJson(const ReplayReport& report);
// A table of a dozen lines.
std::string ToText(const ReplayReport& report);

}  // namespace plimsoll
