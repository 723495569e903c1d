// plimsoll plan: what of a model fits in a GPU's memory, before anything is loaded.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/nearest_fit.h"
#include "tools/command.h"
#include "tools/output_file.h"
#include "tools/plan_report.h"

namespace plimsoll {
namespace {

// What the command line says, before it is checked.
struct PlanArguments {
  std::string model, gpu, memory, weights, kv, margin = "0", format = "text", output;
  double utilization = 0.92;
  int64_t block_tokens = 16;
  int64_t max_batched_tokens = 8192;
  int64_t max_sequences = 256;
  std::vector<int64_t> contexts;
};

absl::StatusOr<std::optional<ElementType>> TypeOf(std::string_view option,
                                                  const std::string& name) {
  if (name.empty()) return std::nullopt;
  const std::optional<ElementType> type = ElementTypeFromName(name);
  if (type) return type;
  return BadField(option, Excerpt(name), "fp32, tf32, fp16, bf16, fp8, int8 or int4");
}

// A negative number is no count; the plan checks the rest of each range.
absl::Status CheckNotNegative(const PlanArguments& arguments) {
  const auto check = [](std::string_view option, int64_t value) {
    return value >= 0 ? absl::OkStatus() : BadField(option, value, "a number that is not negative");
  };
  PLIMSOLL_RETURN_IF_ERROR(check("block_tokens", arguments.block_tokens));
  PLIMSOLL_RETURN_IF_ERROR(check("max_batched_tokens", arguments.max_batched_tokens));
  for (const int64_t context : arguments.contexts) {
    PLIMSOLL_RETURN_IF_ERROR(check("context", context));
  }
  return absl::OkStatus();
}

// Device memory and what the runtime takes of it, from --gpu, --memory or both.
absl::Status SetDevice(const PlanArguments& arguments, int64_t layers, InferenceOptions& options) {
  if (arguments.gpu.empty() && arguments.memory.empty()) {
    return absl::InvalidArgumentError("plan: no device; give --gpu NAME or --memory SIZE");
  }
  options.runtime_formula = "no GPU named, so none counted";
  if (!arguments.gpu.empty()) {
    const absl::StatusOr<GpuSpec> gpu = FindGpu(arguments.gpu);
    if (!gpu.ok()) return gpu.status();
    RuntimeEstimate runtime = EstimateRuntime(*gpu, layers);
    options.device_bytes = gpu->memory();
    options.runtime = runtime.bytes;
    options.runtime_formula = std::move(runtime.formula);
  }
  if (!arguments.memory.empty()) {
    const absl::StatusOr<Bytes> memory = ParseSize(arguments.memory, "memory");
    if (!memory.ok()) return memory.status();
    options.device_bytes = *memory;
  }
  return absl::OkStatus();
}

absl::StatusOr<InferenceOptions> OptionsFrom(const PlanArguments& arguments, int64_t layers) {
  PLIMSOLL_RETURN_IF_ERROR(CheckNotNegative(arguments));
  const auto weights = TypeOf("weights", arguments.weights);
  if (!weights.ok()) return weights.status();
  const auto kv = TypeOf("kv", arguments.kv);
  if (!kv.ok()) return kv.status();
  const absl::StatusOr<Bytes> margin = ParseSize(arguments.margin, "margin");
  if (!margin.ok()) return margin.status();
  InferenceOptions options{.device_bytes = Bytes(0),
                           .utilization = arguments.utilization,
                           .margin = *margin,
                           .weights = *weights,
                           .kv = *kv,
                           .block_tokens = Tokens(arguments.block_tokens),
                           .max_batched_tokens = Tokens(arguments.max_batched_tokens),
                           .max_sequences = arguments.max_sequences};
  for (const int64_t context : arguments.contexts) options.contexts.emplace_back(context);
  PLIMSOLL_RETURN_IF_ERROR(SetDevice(arguments, layers, options));
  return options;
}

// The report, and on standard error the one line that says it does not fit.
absl::Status Report(const PlanArguments& arguments, const ModelConfig& model,
                    const InferenceOptions& options, const InferencePlan& plan) {
  std::vector<FitSetting> fits;
  if (!plan.fits()) fits = NearestFits(model, options);
  const std::string report =
      arguments.format == "json" ? PlanAsJson(plan, fits) : PlanAsText(plan, fits);
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(arguments.output, report));
  if (plan.fits()) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      model.name + ": does not fit: " + std::to_string(plan.shortfall_bytes.value()) +
      " bytes short" + (fits.empty() ? "" : "; try " + fits.front().setting));
}

absl::Status RunPlan(const PlanArguments& arguments) {
  const absl::StatusOr<ModelConfig> model = ReadModelConfig(arguments.model);
  if (!model.ok()) return model.status();
  const absl::StatusOr<InferenceOptions> options = OptionsFrom(arguments, model->layers);
  if (!options.ok()) return options.status();
  const absl::StatusOr<InferencePlan> plan = PlanInference(*model, *options);
  if (!plan.ok()) return Annotate(plan.status(), model->name);
  return Report(arguments, *model, *options, *plan);
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
  const auto arguments = std::make_shared<PlanArguments>();
  PlanArguments& a = *arguments;
  plan->add_option("--model", a.model, "Model folder or its config.json")->required();
  plan->add_option("--gpu", a.gpu, "GPU by name: its memory, and an estimate of its runtime");
  plan->add_option("--memory", a.memory, "Device memory (SIZE); overrides that of --gpu");
  plan->add_option("--weights", a.weights, "Type of the weights (default: the checkpoint's)");
  plan->add_option("--kv", a.kv, "Type of K and V (default: fp16 for fp16 models, else bf16)");
  plan->add_option("--utilization", a.utilization, "Share of the device to use, above 0, up to 1")
      ->capture_default_str();
  plan->add_option("--margin", a.margin, "Memory to leave alone (SIZE)")->capture_default_str();
  plan->add_option("--block-tokens", a.block_tokens, "Tokens of a block, a power of two")
      ->capture_default_str();
  plan->add_option("--max-batched-tokens", a.max_batched_tokens, "Tokens of one step")
      ->capture_default_str();
  plan->add_option("--max-sequences", a.max_sequences, "Sequences of one step (rows of logits)")
      ->capture_default_str();
  plan->add_option("--context", a.contexts, "Contexts to give the number of sequences for");
  plan->add_option("--format", a.format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  plan->add_option("-o,--output", a.output, "File to write to (default: standard output)");
  plan->footer(Footer());
  plan->callback([arguments, &result] {
    const absl::Status status = RunPlan(*arguments);
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
