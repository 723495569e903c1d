// plimsoll plan: what of a model fits in a GPU's memory, before anything is loaded; and the
// questions that follow from it.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/explain.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/plan_json.h"
#include "kvcache/sizing/textbook_plan.h"
#include "tools/command.h"
#include "tools/output_file.h"
#include "tools/plan_answer.h"
#include "tools/plan_arguments.h"
#include "tools/plan_compare.h"
#include "tools/plan_explain.h"
#include "tools/plan_json.h"
#include "tools/plan_report.h"
#include "tools/plan_solve.h"
#include "tools/report/assets.h"
#include "tools/report/plan_page.h"
#include "tools/textbook_report.h"

namespace plimsoll {
namespace {

// Which question is asked, how its answer is written, and where.
struct PlanQuestion {
  PlanArguments plan;
  std::string parameters, solve, explain;
  std::vector<std::string> compare;
  std::vector<int64_t> sequences;  // of the load that is wanted
  bool curve = false;
  std::string format = "text", file;

  bool as_json() const { return format == "json"; }
  bool as_page() const { return format == "html"; }
};

absl::Status CheckQuestion(const PlanQuestion& question) {
  const bool asks_else =
      !question.solve.empty() || !question.explain.empty() || !question.compare.empty();
  if (question.as_page() && (asks_else || !question.parameters.empty())) {
    return absl::InvalidArgumentError(
        "format=html: want text or json with --solve, --explain, --compare and --parameters");
  }
  return CheckSequences(question.sequences);
}

std::string Written(const PlanQuestion& question, const PlanReport& report) {
  if (question.as_page()) return PlanAsHtml(report.plan, report.fits, report.curves);
  return question.as_json() ? PlanAsJson(report) : PlanAsText(report);
}

// The one line on standard error that says it does not fit.
absl::Status Misfit(const PlanReport& report) {
  const std::string how =
      report.plan.fits()
          ? LoadText(*report.wanted) + " wanted, room for " + std::to_string(report.held)
          : std::to_string(report.plan.shortfall_bytes.value()) + " bytes short";
  return absl::ResourceExhaustedError(
      report.plan.name + ": does not fit: " + how +
      (report.fits.empty() ? "" : "; try " + report.fits.front().setting));
}

absl::Status RunPlan(const PlanQuestion& question, const PlanRequest& request) {
  const absl::StatusOr<PlanReport> report =
      AnswerPlan(request, question.sequences, question.curve || question.as_page());
  if (!report.ok()) return Annotate(report.status(), request.model.name);
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(question.file, Written(question, *report)));
  return report->holds() ? absl::OkStatus() : Misfit(*report);
}

// The plan with the answer in it, and the answer.
absl::StatusOr<std::string> SolveJson(const PlanRequest& request, const SolveAnswer& answer) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (answer.options.device_bytes > Bytes(0)) {
    absl::StatusOr<InferencePlan> plan = PlanInference(request.model, answer.options);
    if (!plan.ok()) return plan.status();
    json = PlanAsJsonValue({.plan = *std::move(plan), .counts = CountsOf(request.model)});
  }
  json["solve"] = answer.json;
  return JsonText(json);
}

absl::Status RunSolve(const PlanQuestion& question, const PlanRequest& request) {
  const auto answer = Solve(request, {.what = question.solve, .sequences = question.sequences});
  if (!answer.ok()) return Annotate(answer.status(), request.model.name);
  absl::StatusOr<std::string> text =
      question.as_json() ? SolveJson(request, *answer) : SolveAsText(*answer);
  if (!text.ok()) return text.status();
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(question.file, *text));
  if (answer->found) return absl::OkStatus();
  return absl::ResourceExhaustedError(request.model.name + ": " + answer->sentence);
}

absl::Status RunExplain(const PlanQuestion& question, const PlanRequest& request) {
  const auto explanation = ExplainTerm(request.model, request.options, question.explain);
  if (!explanation.ok()) return Annotate(explanation.status(), request.model.name);
  return WriteOutput(question.file, question.as_json()
                                        ? JsonText({{"explain", ExplanationAsJson(*explanation)}})
                                        : ExplanationAsText(*explanation));
}

absl::Status RunCompare(const PlanQuestion& question) {
  const auto compared = ComparePlans(question.plan, question.compare);
  if (!compared.ok()) return compared.status();
  return WriteOutput(question.file, question.as_json()
                                        ? JsonText({{"compare", ComparisonAsJson(*compared)}})
                                        : ComparisonAsText(*compared));
}

absl::Status RunTextbook(const PlanQuestion& question) {
  const absl::StatusOr<int64_t> parameters = ParseParameterCount(question.parameters);
  if (!parameters.ok()) return parameters.status();
  TextbookOptions options{.parameters = *parameters};
  const auto set = [](std::string_view option, const std::string& name, ElementType& type) {
    const std::optional<ElementType> named = ElementTypeFromName(name);
    if (!name.empty() && !named) {
      return BadField(option, Excerpt(name),
                      "fp32, tf32, fp16, bf16, fp8, int8 or int4 with --parameters");
    }
    type = named.value_or(type);
    return absl::OkStatus();
  };
  PLIMSOLL_RETURN_IF_ERROR(set("weights", question.plan.weights, options.weights));
  PLIMSOLL_RETURN_IF_ERROR(set("kv", question.plan.kv, options.kv));
  if (question.plan.max_batched_tokens < 1) {
    return BadField("max_batched_tokens", question.plan.max_batched_tokens, "at least 1");
  }
  options.step = Tokens(question.plan.max_batched_tokens);
  const absl::StatusOr<TextbookPlan> plan = PlanByTextbook(options);
  if (!plan.ok()) return plan.status();
  return WriteOutput(question.file,
                     question.as_json() ? JsonText(TextbookAsJson(*plan)) : TextbookAsText(*plan));
}

absl::Status Run(const PlanQuestion& question) {
  PLIMSOLL_RETURN_IF_ERROR(CheckQuestion(question));
  if (!question.parameters.empty()) return RunTextbook(question);
  if (!question.compare.empty()) return RunCompare(question);
  const absl::StatusOr<PlanRequest> request = PlanRequestFrom(question.plan);
  if (!request.ok()) return request.status();
  if (question.solve != "gpus") PLIMSOLL_RETURN_IF_ERROR(CheckNamesDevice(question.plan));
  if (!question.solve.empty()) return RunSolve(question, *request);
  if (!question.explain.empty()) return RunExplain(question, *request);
  return RunPlan(question, *request);
}

std::string Footer() {
  return "A SIZE is 80GiB, 80GB (10^9) or plain bytes. K and V are fp32, tf32, fp16, bf16, fp8, "
         "int8\n"
         "or int4. Weights are those or as checkpoints store them: gptq-gN, awq-gN, w4a16-gN with "
         "N\n"
         "inputs a group, w8a8-int8, w8a8-fp8 and fp8-block (fp8 alone has one scale a matrix),\n"
         "mxfp4, nvfp4, nf4, nf4-dq, bnb-int8, and GGUF files by type: q4_0, q4_k_m, q8_0, f16, "
         "...\n"
         "GPUs known by name: plimsoll gpus.\n\n"
         "The budget is the device's bytes x utilization, rounded down. What is left after\n"
         "weights, draft, input, output, logits, activations, runtime and margin is cut into\n"
         "blocks. Exit code: 0 it fits, 1 it does not (the report says by how much and what\n"
         "would fit), 2 bad usage or input.\n\n"
         "Examples:\n"
         "  plimsoll plan --model Llama-3.1-8B/config.json --gpu h100 --weights int4\n"
         "  plimsoll plan --model Llama-3.1-8B --gpu h100 --solve context --sequences 1 8 64\n"
         "  plimsoll plan --model Llama-3.1-70B --solve gpus --sequences 32 --context 8192\n"
         "  plimsoll plan --model Llama-3.1-8B --gpu l4 --compare weights=int8 "
         "weights=int4,kv=fp8\n"
         "  plimsoll plan --model Llama-3.1-8B --gpu h100 --explain kv\n"
         "  plimsoll plan --parameters 13B";
}

void AddQuestions(CLI::App& plan, PlanQuestion& question) {
  CLI::Option* const parameters =
      plan.add_option("--parameters", question.parameters,
                      "Without a model: what textbooks say of so many (13e9, 13B)");
  CLI::Option* const solve =
      plan.add_option("--solve", question.solve,
                      "Ask for the most sequences, the longest context, the fewest GPUs, or the "
                      "widest type of weights or of K and V")
          ->check(CLI::IsMember({"sequences", "context", "gpus", "weights", "kv"}));
  CLI::Option* const compare = plan.add_option(
      "--compare", question.compare,
      "Plans side by side: each a model, or settings such as weights=int4,kv=fp8,gpu=h200");
  CLI::Option* const explain =
      plan.add_option("--explain", question.explain, "Derive one term step by step");
  plan.add_option("--sequences", question.sequences,
                  "Sequences wanted at once, each of --context (default: the model's) tokens");
  plan.add_flag("--curve", question.curve, "Sequences against context, for narrower types too");
  const std::vector<CLI::Option*> questions = {parameters, solve, compare, explain};
  for (size_t i = 0; i < questions.size(); ++i) {
    for (size_t j = i + 1; j < questions.size(); ++j) questions[i]->excludes(questions[j]);
  }
  for (const char* const other : {"--model", "--gpu", "--memory"}) {
    parameters->excludes(plan.get_option(other));
  }
}

}  // namespace

void AddPlanCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const plan = app.add_subcommand("plan", "What fits in a GPU's memory, term by term");
  const auto question = std::make_shared<PlanQuestion>();
  AddPlanArguments(*plan, question->plan);
  AddQuestions(*plan, *question);
  plan->add_option("--format", question->format,
                   "text, json or html (one page to open in a browser)")
      ->check(CLI::IsMember({"text", "json", "html"}))
      ->capture_default_str();
  plan->add_option("-o,--output", question->file, "File to write to (default: standard output)");
  // As --version does, it prints and stops, whatever else is given or missing.
  plan->set_version_flag(
      "--schema", [] { return std::string(PlanSchema()); }, "Print the JSON Schema of the JSON");
  plan->footer(Footer());
  plan->callback([question, &result] {
    const absl::Status status = Run(*question);
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
