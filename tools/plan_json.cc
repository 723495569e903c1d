#include "tools/plan_json.h"

#include "kvcache/sizing/plan_json.h"
#include "tools/checkpoint_report.h"
#include "tools/counts_report.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;

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
    json.push_back({{"setting", curve.setting}, {"points", ContextsAsJson(curve.points)}});
  }
  return json;
}

}  // namespace

Json PlanAsJsonValue(const PlanReport& report) {
  Json json = PlanAsJsonValue(report.plan);
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

std::string PlanAsJson(const PlanReport& report) { return JsonText(PlanAsJsonValue(report)); }

}  // namespace plimsoll
