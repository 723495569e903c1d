#include "tools/serve/serve_arguments.h"

#include <limits>
#include <random>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/sizing/block_demand.h"
#include "rpc/address.h"
#include "tools/duration_text.h"
#include "tools/kv_type.h"
#include "tools/serve/tenant_rules.h"

namespace plimsoll {
namespace {

absl::Status CheckNumber(const char* name, int64_t value, int64_t max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return BadField(name, value, "1 to " + std::to_string(max));
}

absl::Status CheckNumbers(const ServeText& text) {
  constexpr int64_t kMaxBlocks = std::numeric_limits<int32_t>::max();
  constexpr int64_t kMaxBlockTokens = 1024;
  constexpr int64_t kMaxBatch = int64_t{1} << 20;
  PLIMSOLL_RETURN_IF_ERROR(CheckNumber("--blocks", text.blocks.value_or(1), kMaxBlocks));
  PLIMSOLL_RETURN_IF_ERROR(CheckNumber("--max-blocks", text.max_blocks.value_or(1), kMaxBlocks));
  PLIMSOLL_RETURN_IF_ERROR(CheckNumber("--block-tokens", text.block_tokens, kMaxBlockTokens));
  PLIMSOLL_RETURN_IF_ERROR(CheckNumber("--max-batched-tokens", text.max_batched_tokens, kMaxBatch));
  PLIMSOLL_RETURN_IF_ERROR(CheckNumber("--max-sequences", text.max_sequences, kMaxBatch));
  if (text.utilization > 0 && text.utilization <= 1) return absl::OkStatus();
  return BadField("--utilization", std::to_string(text.utilization), "above 0, at most 1");
}

absl::Status CheckSources(const ServeText& text) {
  const bool ledger = text.device == "none";
  if (text.model.empty() && !(ledger && text.blocks)) {
    return absl::InvalidArgumentError(
        "--model is missing: want a model folder, or --device none with --blocks");
  }
  if (ledger && text.memory.empty() && !text.blocks) {
    return absl::InvalidArgumentError(
        "--device none has no memory of its own: give --memory or --blocks");
  }
  if (ledger && !text.export_socket.empty()) {
    return absl::InvalidArgumentError("--export: a ledger has no memory that others could map");
  }
  if (ledger && text.eviction != "off") {
    return absl::InvalidArgumentError("--eviction: a ledger holds no tokens that could be kept");
  }
  if (ledger && !text.swap.empty()) {
    return absl::InvalidArgumentError("--swap: a ledger has no memory that could be kept");
  }
  if (!ledger && text.learning) {
    return absl::InvalidArgumentError(
        "--learning: want --device none; an engine's memory ends with it, and nobody holds any");
  }
  return absl::OkStatus();
}

Learning LearningFrom(const ServeText& text) {
  if (text.device != "none" || text.no_learning) return Learning::kNever;
  return text.learning ? Learning::kAlways : Learning::kWhenTold;
}

absl::Status CheckAddresses(const ServeText& text) {
  for (const std::string& address : text.listen) {
    PLIMSOLL_RETURN_IF_ERROR(Annotate(CheckAddress(address), "--listen"));
  }
  if (text.http == "none") return absl::OkStatus();
  return Annotate(ParseHostPort(text.http).status(), "--http");
}

}  // namespace

absl::StatusOr<ServeArguments> ReadServeArguments(const ServeText& text) {
  PLIMSOLL_RETURN_IF_ERROR(CheckNumbers(text));
  PLIMSOLL_RETURN_IF_ERROR(CheckSources(text));
  PLIMSOLL_RETURN_IF_ERROR(CheckAddresses(text));
  const absl::StatusOr<Duration> lease = ParseDuration(text.lease, "--lease");
  if (!lease.ok()) return lease.status();
  const absl::StatusOr<Duration> drain = ParseDuration(text.drain_timeout, "--drain-timeout");
  if (!drain.ok()) return drain.status();
  absl::StatusOr<Quotas> quotas = ReadQuotas(text.quotas);
  if (!quotas.ok()) return quotas.status();
  const auto kv = ReadKvType(text.kv, "--kv");
  if (!kv.ok()) return kv.status();
  auto classes = ReadClasses(text.classes);
  if (!classes.ok()) return classes.status();
  ServeArguments arguments;
  PLIMSOLL_RETURN_IF_ERROR(ReadNetworkArguments(text.network, arguments.server));
  arguments.engine.admission.quotas = *std::move(quotas);
  arguments.engine.admission.classes = *std::move(classes);
  if (!text.memory.empty()) {
    const absl::StatusOr<Bytes> memory = ParseSize(text.memory, "--memory");
    if (!memory.ok()) return memory.status();
    arguments.engine.memory = *memory;
  }
  if (!text.swap.empty()) {
    const absl::StatusOr<Bytes> swap = ParseSize(text.swap, "--swap");
    if (!swap.ok()) return swap.status();
    arguments.engine.swap = *swap;
  }
  if (!text.weights.empty()) {
    arguments.engine.weights = WeightFormatFromName(text.weights);
    if (!arguments.engine.weights) {
      return BadField("--weights", Excerpt(text.weights), WeightFormatNames());
    }
  }
  if (text.blocks) arguments.engine.blocks = Blocks(*text.blocks);
  if (text.max_blocks) arguments.engine.max_blocks = Blocks(*text.max_blocks);
  arguments.engine.eviction = EvictionFromName(text.eviction).value_or(Eviction::kOff);
  arguments.engine.export_socket = text.export_socket;
  arguments.engine.model_path = text.model;
  arguments.engine.device = text.device;
  arguments.engine.kv_type = *kv;
  arguments.engine.utilization = text.utilization;
  arguments.engine.block_tokens = Tokens(text.block_tokens);
  arguments.engine.loop.max_batched_tokens = Tokens(text.max_batched_tokens);
  arguments.engine.loop.max_sequences = text.max_sequences;
  arguments.engine.loop.victim = VictimRuleFromName(text.victim).value_or(VictimRule::kCheapest);
  arguments.engine.admission.epoch = RandomEpoch();
  arguments.engine.admission.retry_seed = std::random_device()() | uint64_t{1} << 32;
  arguments.engine.admission.default_ttl = *lease;
  arguments.engine.admission.learning = LearningFrom(text);
  arguments.engine.admission.policy = {
      .policy = PolicyFromName(text.policy).value_or(Policy::kNeverEvict),
      .watermark = text.watermark,
      .overflow_goal = text.overflow_goal};
  arguments.log = LogOptionsFrom(text.network);
  arguments.server.listen = text.listen;
  arguments.http = text.http == "none" ? "" : text.http;
  arguments.http_names = text.http_names;
  arguments.server.reflection = !text.no_reflection;
  arguments.drain_timeout = *drain;
  return arguments;
}

}  // namespace plimsoll
