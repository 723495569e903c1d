// plimsoll plan-training: what training a model takes of GPU, host and disk, term by term.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/runtime_bytes.h"
#include "kvcache/sizing/training_curves.h"
#include "kvcache/sizing/training_fits.h"
#include "kvcache/sizing/training_plan.h"
#include "tools/command.h"
#include "tools/output_file.h"
#include "tools/report/training_page.h"
#include "tools/training_report.h"

namespace plimsoll {
namespace {

// What the command line says, before it is checked.
struct TrainingArguments {
  std::string model, parameters, method, gpu, memory, recompute = "none", activation_formula,
                                                      offload = "none", format = "text", output;
  int64_t batch = 0, sequence = 0, lora_rank = 16, gpus = 1, tensor_parallel = 1;
  int zero_stage = 0;
  bool sequence_parallel = false;
  std::vector<std::string> lora_targets = {"q_proj", "v_proj"};
};

// Device memory, and what CUDA takes of it where the GPU is known.
absl::Status SetDevice(const TrainingArguments& arguments, TrainingOptions& options) {
  if (!arguments.gpu.empty()) {
    const absl::StatusOr<GpuSpec> gpu = FindGpu(arguments.gpu);
    if (!gpu.ok()) return gpu.status();
    options.device_bytes = gpu->memory();
    options.runtime = EstimateRuntime(*gpu, /*layers=*/0).bytes;  // training captures no graphs
  }
  if (arguments.memory.empty()) return absl::OkStatus();
  const absl::StatusOr<Bytes> memory = ParseSize(arguments.memory, "memory");
  if (!memory.ok()) return memory.status();
  options.device_bytes = *memory;
  return absl::OkStatus();
}

absl::Status SetNamed(const TrainingArguments& arguments, TrainingOptions& options) {
  const absl::StatusOr<Recompute> recompute = RecomputeFromName(arguments.recompute);
  if (!recompute.ok()) return recompute.status();
  options.recompute = *recompute;
  const absl::StatusOr<Offload> offload = OffloadFromName(arguments.offload);
  if (!offload.ok()) return offload.status();
  options.offload = *offload;
  if (arguments.activation_formula.empty()) return absl::OkStatus();
  const auto formula = ActivationFormulaFromName(arguments.activation_formula);
  if (!formula.ok()) return formula.status();
  options.activation_formula = *formula;
  return absl::OkStatus();
}

absl::StatusOr<TrainingOptions> OptionsFrom(const TrainingArguments& arguments) {
  const absl::StatusOr<TrainingMethod> method = TrainingMethodFromName(arguments.method);
  if (!method.ok()) return method.status();
  if (arguments.sequence < 0) return BadField("sequence", arguments.sequence, "1 or more");
  TrainingOptions options{.method = *method,
                          .batch = arguments.batch,
                          .sequence = Tokens(arguments.sequence),
                          .lora_rank = arguments.lora_rank,
                          .lora_targets = arguments.lora_targets,
                          .zero_stage = arguments.zero_stage,
                          .gpus = arguments.gpus,
                          .tensor_parallel = arguments.tensor_parallel,
                          .sequence_parallel = arguments.sequence_parallel};
  PLIMSOLL_RETURN_IF_ERROR(SetNamed(arguments, options));
  PLIMSOLL_RETURN_IF_ERROR(SetDevice(arguments, options));
  return options;
}

template <class Model>
absl::StatusOr<std::string> Written(const TrainingArguments& arguments, const Model& model,
                                    const TrainingPlan& plan,
                                    const std::vector<TrainingFit>& fits) {
  if (arguments.format == "json") return TrainingAsJson(plan, fits);
  if (arguments.format == "text") return TrainingAsText(plan, fits);
  const absl::StatusOr<TrainingCurves> curves = TrainingCurvesOf(model, plan.options);
  if (!curves.ok()) return curves.status();
  return TrainingAsHtml(plan, fits, *curves);
}

// The report, and on standard error the one line that says it does not fit.
template <class Model>
absl::Status PlanAndReport(const TrainingArguments& arguments, const Model& model,
                           const TrainingOptions& options) {
  const absl::StatusOr<TrainingPlan> plan = PlanTraining(model, options);
  if (!plan.ok()) return plan.status();
  std::vector<TrainingFit> fits;
  if (!plan->fits()) fits = TrainingFits(model, options);
  const absl::StatusOr<std::string> report = Written(arguments, model, *plan, fits);
  if (!report.ok()) return report.status();
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(arguments.output, *report));
  if (plan->fits()) return absl::OkStatus();
  const std::string gpus = plan->gpus_needed
                               ? "needs at least " + std::to_string(*plan->gpus_needed) + " GPUs"
                               : "no number of such GPUs is enough";
  return absl::ResourceExhaustedError(
      plan->name + ": does not fit: " + std::to_string(plan->shortfall_bytes().value()) +
      " bytes short, " + gpus + (fits.empty() ? "" : "; try " + fits.front().setting));
}

absl::Status RunPlanTraining(const TrainingArguments& arguments) {
  if (arguments.model.empty() == arguments.parameters.empty()) {
    return absl::InvalidArgumentError(
        "plan-training: want one model; give either --model PATH or --parameters N");
  }
  const absl::StatusOr<TrainingOptions> options = OptionsFrom(arguments);
  if (!options.ok()) return options.status();
  if (!arguments.parameters.empty()) {
    const absl::StatusOr<int64_t> count = ParseParameterCount(arguments.parameters);
    if (!count.ok()) return count.status();
    return PlanAndReport(arguments, UsualShape(*count), *options);
  }
  const absl::StatusOr<ModelConfig> model = ReadModelConfig(arguments.model);
  if (!model.ok()) return model.status();
  return PlanAndReport(arguments, *model, *options);
}

constexpr const char* kFooter =
    "A SIZE is 80GiB, 80GB (10^9) or plain bytes; N parameters are 13e9, 13B or a whole number.\n"
    "Bytes of a parameter (weights, gradients, optimizer): full-fp32 4+4+8, mixed 2+2+12,\n"
    "mixed-fp32-grads 2+4+12, mixed-both-grads 2+6+12, bf16 2+2+4, adam8bit 2+2+6.03, sgd 2+2+8;\n"
    "lora: 2, and 16 for each of an adapter; qlora: 0.52, and the same. fp32 master weights count\n"
    "as optimizer.\n"
    "With --parameters alone the textbook answers: the usual shape of a model of that size and\n"
    "the classic activations, s x b x h x (34 + 5 x a x s / h) x L.\n\n"
    "JSON: model, training, memory (weights_bytes, gradients_bytes, optimizer_bytes,\n"
    "activations_bytes, buffers_bytes, total_bytes of one GPU; host and nvme where offloaded, "
    "with\n"
    "bytes read towards the GPU and written away from it in a step), gpus_needed where a device "
    "is\n"
    "given, formulas.\n"
    "Exit code: 0 it fits or no device was given, 1 it does not fit (the report says how many "
    "GPUs\n"
    "it takes and what would fit), 2 bad usage or input.\n\n"
    "Example: plimsoll plan-training --model Llama-3.1-8B --method mixed --batch 1 --sequence "
    "4096\n"
    "           --zero 3 --gpus 8 --gpu h100";

void AddModelOptions(CLI::App& command, TrainingArguments& a) {
  command.add_option("--model", a.model, "Model folder or its config.json");
  command.add_option("--parameters", a.parameters, "Number of parameters, in place of a model");
  command
      .add_option("--method", a.method,
                  "full-fp32, mixed, mixed-fp32-grads, mixed-both-grads, bf16, adam8bit, sgd, "
                  "lora or qlora")
      ->required();
  command.add_option("--batch", a.batch, "Sequences that one replica works on at once")->required();
  command.add_option("--sequence", a.sequence, "Tokens of each sequence")->required();
  command.add_option("--lora-rank", a.lora_rank, "Rank of the adapters")->capture_default_str();
  command
      .add_option("--lora-targets", a.lora_targets,
                  "Matrices to adapt, by the end of their name, or all-linear")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--recompute", a.recompute, "none, selective or full")->capture_default_str();
  command.add_option("--activation-formula", a.activation_formula,
                     "architecture (default for a model) or classic");
}

void AddPlaceOptions(CLI::App& command, TrainingArguments& a) {
  command.add_option("--zero", a.zero_stage, "ZeRO stage, 0 to 3")->capture_default_str();
  command.add_option("--gpus", a.gpus, "GPUs in all")->capture_default_str();
  command.add_option("--tensor-parallel", a.tensor_parallel, "GPUs that share one replica")
      ->capture_default_str();
  command.add_flag("--sequence-parallel", a.sequence_parallel,
                   "Split what tensor parallelism repeats");
  command.add_option("--offload", a.offload, "none, cpu or nvme")->capture_default_str();
  command.add_option("--gpu", a.gpu, "GPU by name: does it fit, and how many are needed");
  command.add_option("--memory", a.memory, "Device memory (SIZE); overrides that of --gpu");
  command.add_option("--format", a.format, "text, json or html (one page to open in a browser)")
      ->check(CLI::IsMember({"text", "json", "html"}))
      ->capture_default_str();
  command.add_option("-o,--output", a.output, "File to write to (default: standard output)");
}

}  // namespace

void AddPlanTrainingCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command =
      app.add_subcommand("plan-training", "What training takes of GPU, host and disk");
  const auto arguments = std::make_shared<TrainingArguments>();
  AddModelOptions(*command, *arguments);
  AddPlaceOptions(*command, *arguments);
  command->footer(kFooter);
  command->callback([arguments, &result] {
    const absl::Status status = RunPlanTraining(*arguments);
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
