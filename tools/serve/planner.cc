#include "tools/serve/planner.h"

#include <memory>
#include <string>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/config_reader.h"
#include "tools/plan_answer.h"
#include "tools/plan_json.h"

namespace plimsoll {
namespace {

std::string NumberText(Bytes bytes) { return std::to_string(bytes.value()); }

// What the command line would say; what the query leaves at zero stays at the command's default.
PlanArguments ArgumentsOf(const PlanQuery& query) {
  PlanArguments arguments;
  arguments.gpu = query.gpu;
  if (query.memory > Bytes(0)) arguments.memory = NumberText(query.memory);
  arguments.weights = query.weights;
  arguments.kv = query.kv;
  arguments.margin = NumberText(query.margin);
  if (query.utilization > 0) arguments.utilization = query.utilization;
  const auto set = [](int64_t value, int64_t& argument) {
    if (value > 0) argument = value;
  };
  set(query.block_tokens, arguments.block_tokens);
  set(query.max_batched_tokens, arguments.max_batched_tokens);
  set(query.max_sequences, arguments.max_sequences);
  set(query.tensor_parallel, arguments.tensor_parallel);
  set(query.pipeline_parallel, arguments.pipeline_parallel);
  set(query.expert_parallel, arguments.expert_parallel);
  set(query.lookahead_tokens, arguments.lookahead_tokens);
  set(query.shared_prefix, arguments.shared_prefix);
  arguments.no_flash_attention = query.no_flash_attention;
  arguments.decompress_latent = query.decompress_latent;
  arguments.contexts = query.contexts;
  return arguments;
}

absl::StatusOr<PlanRequest> RequestOf(const PlanQuery& query) {
  const std::string name = query.model_name.empty() ? "model" : query.model_name;
  absl::StatusOr<ModelConfig> model = ParseModelConfig(query.model_config, name);
  if (!model.ok()) return Annotate(model.status(), "model_config");
  std::shared_ptr<const ModelConfig> draft;
  if (!query.draft_model_config.empty()) {
    absl::StatusOr<ModelConfig> read = ParseModelConfig(query.draft_model_config, "draft");
    if (!read.ok()) return Annotate(read.status(), "draft_model_config");
    draft = std::make_shared<const ModelConfig>(*std::move(read));
  }
  return PlanRequestOf(ArgumentsOf(query), *std::move(model), std::move(draft));
}

}  // namespace

absl::StatusOr<PlanAnswer> PlanForCaller(const PlanQuery& query) {
  const absl::StatusOr<PlanRequest> request = RequestOf(query);
  if (!request.ok()) return request.status();
  std::vector<int64_t> sequences;
  if (query.sequences > 0) sequences.push_back(query.sequences);
  PLIMSOLL_RETURN_IF_ERROR(CheckSequences(sequences));
  const absl::StatusOr<PlanReport> report = AnswerPlan(*request, sequences, /*curves=*/false);
  if (!report.ok()) return report.status();
  const InferencePlan& plan = report->plan;
  return PlanAnswer{.fits = report->holds(),
                    .blocks = plan.blocks,
                    .block_tokens = plan.block_tokens,
                    .block_bytes = plan.block_bytes,
                    .kv_pool_bytes = plan.kv_pool_bytes,
                    .shortfall_bytes = plan.shortfall_bytes,
                    .json = PlanAsJson(*report)};
}

}  // namespace plimsoll
