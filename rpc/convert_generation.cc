#include "rpc/convert_generation.h"

#include <limits>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr double kHottest = 100.0;
constexpr int64_t kMaxTokenId = std::numeric_limits<int32_t>::max();
constexpr Duration kLongestBusyTime = std::chrono::hours(24 * 365 * 100);

SamplingOptions SamplingFrom(const wire::Sampling& in, Bounds& bounds) {
  SamplingOptions sampling;
  sampling.temperature = bounds.RealIn("sampling.temperature", in.temperature(), 0, kHottest);
  sampling.top_k = bounds.NumberIn("sampling.top_k", in.top_k(), 0, kMaxTokenId);
  if (in.has_top_p()) {
    constexpr double kAboveZero = std::numeric_limits<double>::min();
    sampling.top_p = bounds.RealIn("sampling.top_p", in.top_p(), kAboveZero, 1);
  }
  sampling.seed = in.seed();
  return sampling;
}

SwapCounts SwapCountsFrom(const wire::SwapSpace& in, Bounds& bounds) {
  return {.total = bounds.BlocksIn("swap_space.total_blocks", in.total_blocks()),
          .held = bounds.BlocksIn("swap_space.held_blocks", in.held_blocks()),
          .free = bounds.BlocksIn("swap_space.free_blocks", in.free_blocks()),
          .sequences = bounds.CountIn("swap_space.sequences", in.sequences()),
          .copied_out = bounds.BlocksIn("swap_space.copied_out_blocks", in.copied_out_blocks()),
          .copied_in = bounds.BlocksIn("swap_space.copied_in_blocks", in.copied_in_blocks())};
}

LoopStats LoopStatsFrom(const wire::LoopStats& in, Bounds& bounds) {
  LoopStats stats;
  stats.steps = bounds.CountIn("steps", in.steps());
  stats.prompt_tokens = bounds.CountIn("prompt_tokens", in.prompt_tokens());
  stats.generated_tokens = bounds.CountIn("generated_tokens", in.generated_tokens());
  stats.running = bounds.CountIn("running_sequences", in.running_sequences());
  stats.peak_running = bounds.CountIn("peak_running_sequences", in.peak_running_sequences());
  stats.preempted = bounds.CountIn("preempted", in.preempted());
  stats.recomputed_tokens = bounds.CountIn("recomputed_tokens", in.recomputed_tokens());
  stats.swapped_out = bounds.CountIn("swapped_out", in.swapped_out());
  stats.swapped_in = bounds.CountIn("swapped_in", in.swapped_in());
  if (in.has_swap_space()) stats.swap = SwapCountsFrom(in.swap_space(), bounds);
  stats.busy = bounds.DurationIn("busy_time", in.busy_time(), kLongestBusyTime);
  return stats;
}

void FillSwapSpace(const SwapCounts& counts, wire::SwapSpace* out) {
  out->set_total_blocks(counts.total.value());
  out->set_held_blocks(counts.held.value());
  out->set_free_blocks(counts.free.value());
  out->set_sequences(counts.sequences);
  out->set_copied_out_blocks(counts.copied_out.value());
  out->set_copied_in_blocks(counts.copied_in.value());
}

void FillLoopStats(const LoopStats& stats, wire::LoopStats* out) {
  out->set_steps(stats.steps);
  out->set_prompt_tokens(stats.prompt_tokens);
  out->set_generated_tokens(stats.generated_tokens);
  out->set_running_sequences(stats.running);
  out->set_peak_running_sequences(stats.peak_running);
  out->set_preempted(stats.preempted);
  out->set_recomputed_tokens(stats.recomputed_tokens);
  out->set_swapped_out(stats.swapped_out);
  out->set_swapped_in(stats.swapped_in);
  if (stats.swap.total > Blocks(0)) FillSwapSpace(stats.swap, out->mutable_swap_space());
  *out->mutable_busy_time() = ToWire(stats.busy);
}

}  // namespace

wire::GenerateRequest ToWire(const GenerationRequest& request) {
  wire::GenerateRequest out;
  out.set_reservation_id(request.reservation_id);
  out.mutable_prompt_token_ids()->Add(request.prompt.begin(), request.prompt.end());
  out.set_max_new_tokens(request.max_new_tokens.value());
  out.mutable_sampling()->set_temperature(request.sampling.temperature);
  out.mutable_sampling()->set_top_k(request.sampling.top_k);
  out.mutable_sampling()->set_top_p(request.sampling.top_p);
  out.mutable_sampling()->set_seed(request.sampling.seed);
  out.set_ignore_eos(!request.stop_at_eos);
  return out;
}

absl::StatusOr<GenerationRequest> FromWire(const wire::GenerateRequest& in) {
  Bounds bounds;
  GenerationRequest request{
      .reservation_id = bounds.TextIn("reservation_id", in.reservation_id(), 1, kMaxTextBytes),
      .prompt = {in.prompt_token_ids().begin(), in.prompt_token_ids().end()},
      .max_new_tokens = bounds.TokensIn("max_new_tokens", in.max_new_tokens(), 1),
      .sampling = SamplingFrom(in.sampling(), bounds),
      .stop_at_eos = !in.ignore_eos()};
  bounds.NumberIn("number of prompt_token_ids", in.prompt_token_ids_size(), 1, kMaxTokenId);
  for (const int32_t id : request.prompt) bounds.NumberIn("prompt_token_ids", id, 0, kMaxTokenId);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return request;
}

wire::FinishReason ToWire(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength:
      return wire::FINISH_REASON_LENGTH;
    case FinishReason::kStop:
      return wire::FINISH_REASON_STOP;
    case FinishReason::kCancelled:
      break;
  }
  return wire::FINISH_REASON_CANCELLED;
}

absl::StatusOr<FinishReason> FromWire(wire::FinishReason reason) {
  for (const FinishReason ours :
       {FinishReason::kLength, FinishReason::kStop, FinishReason::kCancelled}) {
    if (ToWire(ours) == reason) return ours;
  }
  return BadField("finish_reason", int64_t{reason}, "a value of this version");
}

wire::GetServerInfoResponse ToWire(const ServerInfo& info) {
  wire::GetServerInfoResponse out;
  out.set_version(info.version);
  out.set_epoch(info.epoch);
  out.set_mode(info.mode == ServerMode::kEngine ? wire::SERVER_MODE_ENGINE
                                                : wire::SERVER_MODE_LEDGER);
  out.set_model(info.model);
  out.set_device(info.device);
  for (const MemoryStage& stage : info.memory) {
    wire::MemoryStage* each = out.add_memory_stages();
    each->set_name(stage.name);
    each->set_predicted_bytes(stage.predicted.value());
    each->set_measured_bytes(stage.measured.value());
  }
  if (info.loop) FillLoopStats(*info.loop, out.mutable_loop_stats());
  return out;
}

absl::StatusOr<ServerInfo> FromWire(const wire::GetServerInfoResponse& in) {
  Bounds bounds;
  bounds.NumberIn("mode", in.mode(), wire::SERVER_MODE_ENGINE, wire::SERVER_MODE_LEDGER);
  ServerInfo info{
      .version = in.version(),
      .epoch = in.epoch(),
      .mode = in.mode() == wire::SERVER_MODE_ENGINE ? ServerMode::kEngine : ServerMode::kLedger,
      .model = in.model(),
      .device = in.device()};
  for (const wire::MemoryStage& each : in.memory_stages()) {
    info.memory.push_back({.name = each.name(),
                           .predicted = bounds.BytesIn("predicted_bytes", each.predicted_bytes()),
                           .measured = bounds.BytesIn("measured_bytes", each.measured_bytes())});
  }
  if (in.has_loop_stats()) info.loop = LoopStatsFrom(in.loop_stats(), bounds);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return info;
}

}  // namespace plimsoll
