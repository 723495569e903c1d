#include "kvcache/sizing/plan_json.h"

#include "kvcache/base/element_type.h"

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

Json CapacityJson(const InferencePlan& plan) {
  return {{"block_tokens", plan.block_tokens.value()},
          {"block_bytes", plan.block_bytes.value()},
          {"draft_block_bytes", plan.draft_block_bytes.value()},
          {"sequence_state_bytes", plan.sequence_state_bytes.value()},
          {"blocks", plan.blocks.value()},
          {"tokens", plan.tokens.value()},
          {"longest_context", plan.longest_context.value()},
          {"max_sequences", ContextsAsJson(plan.max_sequences)}};
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

}  // namespace

nlohmann::ordered_json ContextsAsJson(const std::vector<ContextCapacity>& points) {
  Json json = Json::array();
  for (const ContextCapacity& point : points) {
    json.push_back({{"context", point.context.value()},
                    {"sequences", point.sequences},
                    {"sequences_grouped", point.sequences_grouped}});
  }
  return json;
}

nlohmann::ordered_json PlanAsJsonValue(const InferencePlan& plan) {
  return {{"model", ModelJson(plan)},
          {"memory", MemoryJson(plan)},
          {"capacity", CapacityJson(plan)},
          {"deployment", DeploymentJson(plan)},
          {"formulas", FormulasJson(plan)}};
}

std::string JsonText(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace plimsoll
