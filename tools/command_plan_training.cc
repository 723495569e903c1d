// plimsoll plan-training: what training a model takes of GPU, host and disk, term by term.
#include <memory>
#include <string>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/training_explain.h"
#include "kvcache/sizing/training_fits.h"
#include "kvcache/sizing/training_plan.h"
#include "tools/command.h"
#include "tools/output_file.h"
#include "tools/plan_explain.h"
#include "tools/report/assets.h"
#include "tools/report/training_page.h"
#include "tools/training_arguments.h"
#include "tools/training_compare.h"
#include "tools/training_report.h"

namespace plimsoll {
namespace {

// What is asked of the plan, which report is written, and where.
struct TrainingQuestion {
  TrainingArguments training;
  bool curve = false;
  std::string explain;
  std::vector<std::string> compare;
  std::string format = "text", output;

  bool as_json() const { return format == "json"; }
  bool as_page() const { return format == "html"; }
};

absl::StatusOr<TrainingReport> ReportOf(const TrainingQuestion& question,
                                        const TrainingRequest& request) {
  absl::StatusOr<TrainingPlan> plan = request.Plan();
  if (!plan.ok()) return plan.status();
  TrainingReport report{.plan = *std::move(plan)};
  const auto add = [&](const auto& model) {
    if (!report.plan.fits()) report.fits = TrainingFits(model, request.options);
    if (!question.curve && !question.as_page()) return absl::OkStatus();
    auto curves = TrainingCurvesOf(model, request.options);
    if (!curves.ok()) return curves.status();
    report.curves = *std::move(curves);
    return absl::OkStatus();
  };
  PLIMSOLL_RETURN_IF_ERROR(std::visit(add, request.model));
  return report;
}

std::string Written(const TrainingQuestion& question, const TrainingReport& report) {
  if (question.as_json()) return TrainingAsJson(report);
  if (question.as_page()) return TrainingAsHtml(report.plan, report.fits, *report.curves);
  return TrainingAsText(report);
}

absl::Status Misfit(const TrainingReport& report) {
  const TrainingPlan& plan = report.plan;
  if (plan.fits()) return absl::OkStatus();
  const std::string gpus = plan.gpus_needed
                               ? "needs at least " + std::to_string(*plan.gpus_needed) + " GPUs"
                               : "no number of such GPUs is enough";
  return absl::ResourceExhaustedError(
      plan.name + ": does not fit: " + std::to_string(plan.shortfall_bytes().value()) +
      " bytes short, " + gpus +
      (report.fits.empty() ? "" : "; try " + report.fits.front().setting));
}

// The report, and on standard error the one line that says it does not fit.
absl::Status Plan(const TrainingQuestion& question) {
  const absl::StatusOr<TrainingRequest> request = TrainingRequestFrom(question.training);
  if (!request.ok()) return request.status();
  const absl::StatusOr<TrainingReport> report = ReportOf(question, *request);
  if (!report.ok()) return report.status();
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(question.output, Written(question, *report)));
  return Misfit(*report);
}

absl::Status Explain(const TrainingQuestion& question) {
  const absl::StatusOr<TrainingRequest> request = TrainingRequestFrom(question.training);
  if (!request.ok()) return request.status();
  const absl::StatusOr<TrainingPlan> plan = request->Plan();
  if (!plan.ok()) return plan.status();
  const absl::StatusOr<Explanation> explanation = ExplainTerm(*plan, question.explain);
  if (!explanation.ok()) return explanation.status();
  if (!question.as_json()) return WriteOutput(question.output, ExplanationAsText(*explanation));
  const nlohmann::ordered_json json = {{"explain", ExplanationAsJson(*explanation)}};
  return WriteOutput(question.output, json.dump(2) + "\n");
}

absl::Status Compare(const TrainingQuestion& question) {
  const auto compared = CompareTrainings(question.training, question.compare);
  if (!compared.ok()) return compared.status();
  return WriteOutput(question.output, question.as_json() ? TrainingComparisonAsJson(*compared)
                                                         : TrainingComparisonAsText(*compared));
}

absl::Status RunPlanTraining(const TrainingQuestion& question) {
  const bool explains = !question.explain.empty(), compares = !question.compare.empty();
  if (explains && compares) {
    return absl::InvalidArgumentError(
        "plan-training: want one question; give --explain or --compare");
  }
  if ((explains || compares) && question.as_page()) {
    return BadField("format", "html", "text or json with --explain and --compare");
  }
  if (explains) return Explain(question);
  return compares ? Compare(question) : Plan(question);
}

constexpr const char* kFooter =
    "A SIZE is 80GiB, 80GB (10^9) or plain bytes; N parameters are 13e9, 13B or a whole number.\n"
    "Bytes of a parameter (weights, gradients, optimizer): full-fp32 4+4+8, mixed 2+2+12,\n"
    "mixed-fp32-grads 2+4+12, mixed-both-grads 2+6+12, bf16 2+2+4, adam8bit 2+2+6.03, sgd 2+2+8,\n"
    "bf16-adam8bit 2+2+2.03; lora: 2, and 16 for each of an adapter; qlora: 0.52, and the same. "
    "fp32 master weights count\n"
    "as optimizer.\n"
    "With --parameters alone the textbook answers: the usual shape of a model of that size and\n"
    "the classic activations, s x b x h x (34 + 5 x a x s / h) x L.\n\n"
    "JSON: model, training, memory (weights_bytes, gradients_bytes, optimizer_bytes,\n"
    "activations_bytes, buffers_bytes, total_bytes of one GPU; host and nvme where offloaded, "
    "with\n"
    "bytes read towards the GPU and written away from it in a step), gpus_needed where a device "
    "is\n"
    "given, formulas; with --curve also curves, with --explain and --compare these alone.\n"
    "A SETTING of --compare is options laid over the others, method=qlora,zero=3, or a model's "
    "path;\n"
    "+ stands for the commas within one: lora-targets=q_proj+v_proj.\n"
    "Exit code: 0 it fits or no device was given, 1 it does not fit (the report says how many "
    "GPUs\n"
    "it takes and what would fit), 2 bad usage or input.\n\n"
    "Example: plimsoll plan-training --model Llama-3.1-8B --method mixed --batch 1 --sequence "
    "4096\n"
    "           --zero 3 --gpus 8 --gpu h100";

}  // namespace

void AddPlanTrainingCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command =
      app.add_subcommand("plan-training", "What training takes of GPU, host and disk");
  const auto question = std::make_shared<TrainingQuestion>();
  AddTrainingArguments(*command, question->training, /*required=*/true);
  command->add_flag("--curve", question->curve,
                    "Activations over sequence and batch, states over ZeRO stages");
  command->add_option("--explain", question->explain, "Derive one term step by step");
  command->add_option("--compare", question->compare, "Settings or models to set side by side");
  command
      ->add_option("--format", question->format,
                   "text, json or html (one page to open in a browser)")
      ->check(CLI::IsMember({"text", "json", "html"}))
      ->capture_default_str();
  command->add_option("-o,--output", question->output,
                      "File to write to (default: standard output)");
  // As --version does, it prints and stops, whatever else is given or missing.
  command->set_version_flag(
      "--schema", [] { return std::string(PlanSchema()); }, "Print the JSON Schema of the JSON");
  command->footer(kFooter);
  command->callback([question, &result] {
    const absl::Status status = RunPlanTraining(*question);
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
