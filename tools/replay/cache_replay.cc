#include "tools/replay/cache_replay.h"

#include <algorithm>
#include <string>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/pool/kv_cache.h"
#include "tools/replay/prompt_names.h"

namespace plimsoll {
namespace {

// Room for what is cached and the longest prompt beside it; unbounded, for all prompts.
Blocks PoolFor(std::span<const TraceRequest> trace, const CacheReplayOptions& options) {
  Blocks all, longest;
  for (const TraceRequest& request : trace) {
    const Blocks blocks = BlocksCovering(request.prompt, options.block_tokens);
    all += blocks;
    longest = std::max(longest, blocks);
  }
  return std::min(all, options.blocks.value_or(all)) + longest;
}

// Returns how many of the prompt's blocks were there.
Blocks Replay(const TraceRequest& request, Blocks blocks, KvCache& cache) {
  const std::vector<uint64_t> names =
      PromptNames(request.hash_ids, request.prompt, cache.block_tokens(), blocks);
  const Prompt prompt{.salt = {}, .names = BlockNames::OfHashes(names)};
  const std::optional<SequenceId> sequence = cache.BeginWith(prompt, blocks);
  PLIMSOLL_CHECK(sequence.has_value(), blocks, cache.available());
  const Blocks found = cache.Found(*sequence);
  if (found < blocks) {
    cache.Commit(*cache.PlanAppend(*sequence, (blocks - found).value() * cache.block_tokens()));
  }
  cache.Name(*sequence, prompt.names.Subrange(found.value(), prompt.names.size() - found.value()));
  cache.End(*sequence);
  return found;
}

}  // namespace

absl::StatusOr<ReplayReport> ReplayCache(std::span<const TraceRequest> trace,
                                         const CacheReplayOptions& options) {
  const Blocks pool = PoolFor(trace, options);
  const auto cache = KvCache::Create(
      {.capacity = pool, .block_tokens = options.block_tokens, .eviction = options.eviction});
  if (!cache.ok()) return cache.status();
  ReplayReport report;
  report.block_tokens = options.block_tokens;
  report.total_blocks = options.blocks.value_or(pool);
  report.eviction = std::string(NameOf(options.eviction));
  for (const TraceRequest& request : trace) {
    const Blocks blocks = BlocksCovering(request.prompt, options.block_tokens);
    const Blocks found = Replay(request, blocks, **cache);
    (*cache)->TrimCached(report.total_blocks);
    ++report.requests;
    ++report.admitted;
    report.prompt_tokens += request.prompt;
    report.prompt_blocks += blocks;
    report.prefix_hit_tokens += std::min(found.value() * options.block_tokens, request.prompt);
    report.prefix_hit_blocks += found;
    report.peak_blocks = std::max(report.peak_blocks, (*cache)->counts().cached);
  }
  return report;
}

}  // namespace plimsoll
