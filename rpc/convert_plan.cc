// PlanCapacity's messages.
#include "kvcache/base/errors.h"
#include "rpc/convert.h"
#include "rpc/convert_listing.h"

namespace plimsoll {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 62;
constexpr int64_t kMostTokens = int64_t{1} << 40;
constexpr int64_t kMostGpus = int64_t{1} << 20;
constexpr int64_t kMostBlockTokens = 1024;

}  // namespace

v1::PlanCapacityRequest ToWire(const PlanQuery& query) {
  v1::PlanCapacityRequest out;
  out.set_model_config(query.model_config);
  out.set_model_name(query.model_name);
  out.set_gpu(query.gpu);
  out.set_memory_bytes(query.memory.value());
  out.set_weights(query.weights);
  out.set_kv(query.kv);
  out.set_utilization(query.utilization);
  out.set_margin_bytes(query.margin.value());
  out.set_block_tokens(query.block_tokens);
  out.set_max_batched_tokens(query.max_batched_tokens);
  out.set_max_sequences(query.max_sequences);
  out.set_tensor_parallel(query.tensor_parallel);
  out.set_pipeline_parallel(query.pipeline_parallel);
  out.set_expert_parallel(query.expert_parallel);
  out.set_draft_model_config(query.draft_model_config);
  out.set_lookahead_tokens(query.lookahead_tokens);
  out.set_shared_prefix(query.shared_prefix);
  out.set_no_flash_attention(query.no_flash_attention);
  out.set_decompress_latent(query.decompress_latent);
  for (const int64_t context : query.contexts) out.add_contexts(context);
  out.set_sequences(query.sequences);
  return out;
}

absl::StatusOr<PlanQuery> FromWire(const v1::PlanCapacityRequest& in) {
  Bounds bounds;
  const auto bytes = [&](const char* field, int64_t value) {
    return Bytes(bounds.NumberIn(field, value, 0, kMostBytes));
  };
  const auto tokens = [&](const char* field, int64_t value) {
    return bounds.NumberIn(field, value, 0, kMostTokens);
  };
  const auto gpus = [&](const char* field, int64_t value) {
    return bounds.NumberIn(field, value, 0, kMostGpus);
  };
  const auto name = [&](const char* field, const std::string& value) {
    return bounds.TextIn(field, value, 0, kMaxTextBytes);
  };
  PlanQuery query{
      .model_config = bounds.TextIn("model_config", in.model_config(), 1, kMostConfigBytes),
      .model_name = name("model_name", in.model_name()),
      .gpu = name("gpu", in.gpu()),
      .memory = bytes("memory_bytes", in.memory_bytes()),
      .weights = name("weights", in.weights()),
      .kv = name("kv", in.kv()),
      .utilization = bounds.RealIn("utilization", in.utilization(), 0, 1),
      .margin = bytes("margin_bytes", in.margin_bytes()),
      .block_tokens = bounds.NumberIn("block_tokens", in.block_tokens(), 0, kMostBlockTokens),
      .max_batched_tokens = tokens("max_batched_tokens", in.max_batched_tokens()),
      .max_sequences = tokens("max_sequences", in.max_sequences()),
      .tensor_parallel = gpus("tensor_parallel", in.tensor_parallel()),
      .pipeline_parallel = gpus("pipeline_parallel", in.pipeline_parallel()),
      .expert_parallel = gpus("expert_parallel", in.expert_parallel()),
      .draft_model_config =
          bounds.TextIn("draft_model_config", in.draft_model_config(), 0, kMostConfigBytes),
      .lookahead_tokens = tokens("lookahead_tokens", in.lookahead_tokens()),
      .shared_prefix = tokens("shared_prefix", in.shared_prefix()),
      .no_flash_attention = in.no_flash_attention(),
      .decompress_latent = in.decompress_latent(),
      .contexts = {},
      .sequences = tokens("sequences", in.sequences())};
  bounds.NumberIn("number of contexts", in.contexts_size(), 0, kMostContexts);
  for (const int64_t context : in.contexts()) {
    query.contexts.push_back(bounds.NumberIn("contexts", context, 1, kMostTokens));
  }
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  if (query.gpu.empty() && query.memory == Bytes(0)) {
    return BadField("memory_bytes", int64_t{0}, "1 or more where gpu names none");
  }
  return query;
}

v1::PlanCapacityResponse ToWire(const PlanAnswer& answer) {
  v1::PlanCapacityResponse out;
  out.set_fits(answer.fits);
  out.set_total_blocks(answer.blocks.value());
  out.set_block_tokens(answer.block_tokens.value());
  out.set_block_bytes(answer.block_bytes.value());
  out.set_kv_pool_bytes(answer.kv_pool_bytes.value());
  out.set_shortfall_bytes(answer.shortfall_bytes.value());
  out.set_plan_json(answer.json);
  return out;
}

absl::StatusOr<PlanAnswer> FromWire(const v1::PlanCapacityResponse& in) {
  Bounds bounds;
  PlanAnswer answer{.fits = in.fits(),
                    .blocks = bounds.BlocksIn("total_blocks", in.total_blocks()),
                    .block_tokens = bounds.TokensIn("block_tokens", in.block_tokens(), 0),
                    .block_bytes = bounds.BytesIn("block_bytes", in.block_bytes()),
                    .kv_pool_bytes = bounds.BytesIn("kv_pool_bytes", in.kv_pool_bytes()),
                    .shortfall_bytes = bounds.BytesIn("shortfall_bytes", in.shortfall_bytes()),
                    .json = in.plan_json()};
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return answer;
}

}  // namespace plimsoll
