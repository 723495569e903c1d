#include "tools/plan_json.h"

#include <utility>

#include "tools/checkpoint_report.h"
#include "tools/counts_report.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;

// Parts of the checkpoint that the plan leaves out; null where the configuration does not tell how
// many elements they have.
Json LeftOutJson(const InferencePlan& plan) {
  Json parts = Json::array();
  for (const LeftOut& left : plan.left_out) {
    parts.push_back(
        {{"part", left.part}, {"elements", left.elements ? Json(*left.elements) : Json(nullptr)}});
  }
  return parts;
}

Json ModelJson(const InferencePlan& plan) {
  return {{"name", plan.name},
          {"architecture", plan.architecture},
          {"parameters", plan.parameters},
          {"parameters_stored", plan.parameters_stored},
          {"parameters_active", plan.parameters_active},
          {"layers", plan.layers},
          {"kv_bytes_per_token", plan.kv_bytes_per_token.value()},
          {"kv_bytes_per_token_long", plan.kv_bytes_per_token_long.value()},
          {"window_bytes_per_sequence", plan.window_bytes_per_sequence.value()},
          {"state_bytes_per_sequence", plan.state_bytes_per_sequence.value()},
          {"weights_type", plan.weights_format},
          {"kv_type", NameOf(plan.kv_type)},
          {"left_out", LeftOutJson(plan)}};
}

Json MemoryJson(const InferencePlan& plan) {
  Json json = {{"device_bytes", plan.device_bytes.value()},
               {"budget_bytes", plan.budget_bytes.value()},
               {"weights_bytes", plan.weights_bytes.value()},
               {"weights_resident_bytes", plan.weights_resident_bytes.value()},
               {"draft_bytes", plan.draft_bytes.value()},
               {"io_bytes", plan.io_bytes.value()},
               {"activation_bytes", plan.activation_bytes.value()},
               {"runtime_bytes", plan.runtime_bytes.value()},
               {"margin_bytes", plan.margin_bytes.value()},
               {"kv_pool_bytes", plan.kv_pool_bytes.value()},
               {"unused_bytes", plan.unused_bytes.value()}};
  if (!plan.fits()) json["shortfall_bytes"] = plan.shortfall_bytes.value();
  return json;
}

Json PointsJson(const std::vector<ContextCapacity>& points) {
  Json json = Json::array();
  for (const ContextCapacity& point : points) {
    json.push_back({{"context", point.context.value()},
                    {"sequences", point.sequences},
                    {"sequences_grouped", point.sequences_grouped}});
  }
  return json;
}

Json CapacityJson(const InferencePlan& plan) {
  return {{"block_tokens", plan.block_tokens.value()},
          {"block_bytes", plan.block_bytes.value()},
          {"draft_block_bytes", plan.draft_block_bytes.value()},
          {"sequence_state_bytes", plan.sequence_state_bytes.value()},
          {"blocks", plan.blocks.value()},
          {"tokens", plan.tokens.value()},
          {"longest_context", plan.longest_context.value()},
          {"max_sequences", PointsJson(plan.max_sequences)}};
}

Json StagesJson(const InferencePlan& plan) {
  Json json = Json::array();
  for (const StagePlan& stage : plan.stages) {
    json.push_back({{"first_layer", stage.first_layer},
                    {"layers", stage.layers},
                    {"weights_bytes", stage.weights_bytes.value()},
                    {"kv_bytes_per_token", stage.kv_bytes_per_token.value()},
                    {"blocks", stage.blocks.value()},
                    {"shortfall_bytes", stage.shortfall_bytes.value()}});
  }
  return json;
}

Json DeploymentJson(const InferencePlan& plan) {
  return {{"gpus", plan.gpus},
          {"tensor_parallel", plan.tensor_parallel},
          {"pipeline_parallel", plan.pipeline_parallel},
          {"expert_parallel", plan.expert_parallel},
          {"replicas", plan.replicas},
          {"stage", plan.stage},
          {"stages", StagesJson(plan)},
          {"draft", plan.draft_name.empty() ? Json(nullptr) : Json(plan.draft_name)},
          {"lookahead_tokens", plan.lookahead_tokens.value()},
          {"shared_prefix", plan.shared_prefix.value()}};
}

Json FormulasJson(const InferencePlan& plan) {
  Json formulas = Json::array();
  for (const PlanTerm& term : plan.formulas) {
    formulas.push_back(
        {{"term", term.term}, {"formula", term.formula}, {"bytes", term.bytes.value()}});
  }
  return formulas;
}

Json TextbookJson(const TextbookErrors& textbook) {
  return {{"parameters", textbook.parameters ? Json(*textbook.parameters) : Json(nullptr)},
          {"parameters_error_percent", textbook.parameters_error},
          {"serving_least_bytes", textbook.serving_least_bytes.value()},
          {"serving_most_bytes", textbook.serving_most_bytes.value()},
          {"serving_least_error_percent", textbook.serving_least_error},
          {"serving_most_error_percent", textbook.serving_most_error},
          {"itemised_bytes", textbook.itemised_bytes.value()},
          {"itemised_ratio", textbook.itemised_ratio},
          {"vllm_peak_bytes", textbook.vllm_peak_bytes.value()},
          {"sequences", textbook.load.sequences},
          {"context", textbook.load.context.value()}};
}

Json FitsJson(const std::vector<FitSetting>& fits) {
  Json json = Json::array();
  for (const FitSetting& fit : fits) {
    json.push_back({{"setting", fit.setting}, {"blocks", fit.blocks.value()}});
  }
  return json;
}

Json CurvesJson(const std::vector<CapacityCurve>& curves) {
  Json json = Json::array();
  for (const CapacityCurve& curve : curves) {
    json.push_back({{"setting", curve.setting}, {"points", PointsJson(curve.points)}});
  }
  return json;
}

}  // namespace

Json PlanAsJsonValue(const PlanReport& report) {
  const InferencePlan& plan = report.plan;
  Json json = {{"model", ModelJson(plan)},
               {"memory", MemoryJson(plan)},
               {"capacity", CapacityJson(plan)},
               {"deployment", DeploymentJson(plan)},
               {"formulas", FormulasJson(plan)}};
  json["model"]["counts"] = CountsAsJson(report.counts);
  if (report.checkpoint) json["headers"] = CheckpointAsJson(*report.checkpoint);
  if (report.textbook) json["textbook"] = TextbookJson(*report.textbook);
  if (report.wanted) {
    json["wanted"] = {{"sequences", report.wanted->sequences},
                      {"context", report.wanted->context.value()},
                      {"held", report.held}};
  }
  if (!report.holds()) json["nearest_fits"] = FitsJson(report.fits);
  if (!report.curves.empty()) json["curve"] = CurvesJson(report.curves);
  return json;
}

std::string JsonText(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string PlanAsJson(const PlanReport& report) { return JsonText(PlanAsJsonValue(report)); }

}  // namespace plimsoll
