// plimsoll plan: what of a model fits in a GPU's memory, before anything is loaded.
#include <memory>
#include <string>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/capacity_curve.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/nearest_fit.h"
#include "tools/command.h"
#include "tools/output_file.h"
#include "tools/plan_arguments.h"
#include "tools/plan_report.h"
#include "tools/report/plan_page.h"

namespace plimsoll {
namespace {

// Which report is written, and where.
struct PlanOutput {
  PlanArguments plan;
  std::string format = "text", file;
};

absl::StatusOr<std::string> Written(const PlanOutput& output, const PlanRequest& request,
                                    const InferencePlan& plan,
                                    const std::vector<FitSetting>& fits) {
  if (output.format == "json") return PlanAsJson(plan, fits);
  if (output.format == "text") return PlanAsText(plan, fits);
  const auto curves = CapacityCurves(request.model, request.options);
  if (!curves.ok()) return curves.status();
  return PlanAsHtml(plan, fits, *curves);
}

// The report, and on standard error the one line that says it does not fit.
absl::Status Report(const PlanOutput& output, const PlanRequest& request,
                    const InferencePlan& plan) {
  std::vector<FitSetting> fits;
  if (!plan.fits()) fits = NearestFits(request.model, request.options);
  const absl::StatusOr<std::string> report = Written(output, request, plan, fits);
  if (!report.ok()) return report.status();
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(output.file, *report));
  if (plan.fits()) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      request.model.name + ": does not fit: " + std::to_string(plan.shortfall_bytes.value()) +
      " bytes short" + (fits.empty() ? "" : "; try " + fits.front().setting));
}

absl::Status RunPlan(const PlanOutput& output) {
  const absl::StatusOr<PlanRequest> request = PlanRequestFrom(output.plan);
  if (!request.ok()) return request.status();
  const absl::StatusOr<InferencePlan> plan = PlanInference(request->model, request->options);
  if (!plan.ok()) return Annotate(plan.status(), request->model.name);
  return Report(output, *request, *plan);
}

std::string Footer() {
  std::string names;
  for (const GpuSpec& gpu : KnownGpus()) names += " " + std::string(gpu.name);
  return "A SIZE is 80GiB, 80GB (10^9) or plain bytes. A type T is fp32, tf32, fp16, bf16, fp8,\n"
         "int8 or int4. GPUs known by name:" +
         names +
         ".\n\nThe budget is the device's bytes x utilization, rounded down. What is left after\n"
         "weights, input, output, logits, activations, runtime and margin is cut into blocks.\n"
         "Exit code: 0 it fits, 1 it does not (the report says by how much and what would fit),\n"
         "2 bad usage or input.\n\n"
         "Example: plimsoll plan --model Llama-3.1-8B/config.json --gpu h100 --weights int4";
}

}  // namespace

void AddPlanCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const plan = app.add_subcommand("plan", "What fits in a GPU's memory, term by term");
  const auto output = std::make_shared<PlanOutput>();
  AddPlanArguments(*plan, output->plan);
  plan->add_option("--format", output->format, "text, json or html (one page to open in a browser)")
      ->check(CLI::IsMember({"text", "json", "html"}))
      ->capture_default_str();
  plan->add_option("-o,--output", output->file, "File to write to (default: standard output)");
  plan->footer(Footer());
  plan->callback([output, &result] {
    const absl::Status status = RunPlan(*output);
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
