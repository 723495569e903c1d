// plimsoll bench: measurements of an engine on this machine.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/device/choose_device.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"
#include "tools/bench/admission_command.h"
#include "tools/bench/bench_arguments.h"
#include "tools/bench/concurrency_report.h"
#include "tools/bench/kernel_bench.h"
#include "tools/bench/memory_bench.h"
#include "tools/command.h"
#include "tools/output_file.h"

namespace plimsoll {
namespace {

constexpr double kAgreement = 0.01;  // of predicted bytes

struct ConcurrencyText {
  BenchText common;
  std::vector<int64_t> contexts;
  double max_itl_ms = 0;  // 0: none
  int64_t steps = 16;
  std::string html;
};

absl::Status BenchMemory(const BenchText& text) {
  const absl::StatusOr<EngineOptions> options = ReadBenchArguments(text);
  if (!options.ok()) return options.status();
  const absl::StatusOr<MemoryComparison> compared = CompareMemory(*options);
  if (!compared.ok()) return compared.status();
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(
      text.output, text.format == "json" ? MemoryAsJson(*compared) : MemoryAsText(*compared)));
  if (compared->WorstDifference() <= kAgreement) return absl::OkStatus();
  return absl::InternalError("predicted and measured bytes differ by over 1 %");
}

absl::StatusOr<ConcurrencyOptions> ReadConcurrency(const ConcurrencyText& text) {
  constexpr int64_t kMostSteps = 10'000;
  const absl::StatusOr<EngineOptions> engine = ReadBenchArguments(text.common);
  if (!engine.ok()) return engine.status();
  ConcurrencyOptions options{.engine = *engine, .contexts = {}};
  for (const int64_t context : text.contexts) {
    if (context < 1 || context > kMaxTokens) return BadField("--context", context, "4 to 2^40");
    options.contexts.push_back(Tokens(context));
  }
  if (text.steps < 1 || text.steps > kMostSteps) {
    return BadField("--steps", text.steps, "1 to 10000");
  }
  options.steps = text.steps;
  if (!(text.max_itl_ms >= 0 && text.max_itl_ms <= 1e9)) {
    return BadField("--max-itl", std::to_string(text.max_itl_ms), "milliseconds, 0 to 10^9");
  }
  if (text.max_itl_ms > 0) {
    options.max_itl = Duration(std::llround(text.max_itl_ms * 1e6));
  }
  return options;
}

std::string Formatted(const std::string& format, const ConcurrencyReport& report) {
  if (format == "json") return ConcurrencyAsJson(report);
  if (format == "html") return ConcurrencyAsHtml(report);
  return ConcurrencyAsText(report);
}

absl::Status BenchConcurrency(const ConcurrencyText& text) {
  const absl::StatusOr<ConcurrencyOptions> options = ReadConcurrency(text);
  if (!options.ok()) return options.status();
  const absl::StatusOr<ConcurrencyReport> report = MeasureConcurrency(*options);
  if (!report.ok()) return report.status();
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(text.common.output, Formatted(text.common.format, *report)));
  if (!text.html.empty()) {
    PLIMSOLL_RETURN_IF_ERROR(WriteOutput(text.html, ConcurrencyAsHtml(*report)));
  }
  for (const ConcurrencyRun& run : report->runs) {
    if (run.AsPredicted()) continue;
    return absl::InternalError("context " + std::to_string(run.context.value()) + ": " +
                               OutcomeText(run));
  }
  return absl::OkStatus();
}

void AddFormat(CLI::App& command, BenchText& text, std::vector<std::string> formats) {
  command.add_option("--format", text.format, "How to print it")
      ->check(CLI::IsMember(std::move(formats)))
      ->capture_default_str();
}

void SetResult(const absl::Status& status, const char* what, CommandResult& result) {
  if (!status.ok()) result.exit_code = ReportError(Annotate(status, what));
}

void AddMemory(CLI::App& bench, CommandResult& result) {
  CLI::App* const command = bench.add_subcommand(
      "memory", "Predicted beside measured bytes of an engine; exit code 1 where over 1 % differ");
  const auto text = std::make_shared<BenchText>();
  AddBenchArguments(*command, *text);
  AddFormat(*command, *text, {"text", "json"});
  command->callback([text, &result] { SetResult(BenchMemory(*text), "bench memory", result); });
}

void AddConcurrency(CLI::App& bench, CommandResult& result) {
  CLI::App* const command = bench.add_subcommand(
      "concurrency", "Sequences that decode at once until the pool is full, and how fast");
  const auto text = std::make_shared<ConcurrencyText>();
  AddBenchArguments(*command, text->common);
  command->add_option("--context", text->contexts, "Tokens of each sequence: N[,N...]")
      ->required()
      ->delimiter(',');
  command->add_option("--max-itl", text->max_itl_ms,
                      "The most milliseconds between two tokens (p99); default: until the pool is "
                      "full");
  command->add_option("--steps", text->steps, "Steps to measure at each number of sequences")
      ->capture_default_str();
  AddFormat(*command, text->common, {"text", "json", "html"});
  command->add_option("--html", text->html, "Write a page with charts here as well");
  command->callback(
      [text, &result] { SetResult(BenchConcurrency(*text), "bench concurrency", result); });
}

struct KernelsText {
  std::string device = "auto", format = "text", output;
  bool small = false;
};

absl::Status BenchKernels(const KernelsText& text) {
  const absl::StatusOr<DeviceChoice> choice = ChooseDevice(text.device);
  if (!choice.ok()) return choice.status();
  const absl::StatusOr<KernelBench> bench = MeasureKernels(*choice->backend, {.small = text.small});
  if (!bench.ok()) return bench.status();
  PLIMSOLL_RETURN_IF_ERROR(WriteOutput(
      text.output, text.format == "json" ? KernelsAsJson(*bench) : KernelsAsText(*bench)));
  for (const KernelResult& result : bench->results) {
    if (!result.IsRight()) return absl::InternalError(result.kernel + ": a wrong answer");
  }
  return absl::OkStatus();
}

void AddKernels(CLI::App& bench, CommandResult& result) {
  CLI::App* const command = bench.add_subcommand(
      "kernels", "Each kernel beside the time of moving its bytes; exit code 1 for a wrong answer");
  const auto text = std::make_shared<KernelsText>();
  command->add_option("--device", text->device, "auto, cuda or cpu")->capture_default_str();
  command->add_flag("--small", text->small, "Cases of a few megabytes, to see that all works");
  command->add_option("--format", text->format, "How to print it")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->add_option("-o,--output", text->output, "File to write instead of standard output");
  command->callback([text, &result] { SetResult(BenchKernels(*text), "bench kernels", result); });
}

}  // namespace

void AddBenchCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const bench = app.add_subcommand("bench", "Measure an engine on this machine");
  bench->require_subcommand(1);
  AddMemory(*bench, result);
  AddConcurrency(*bench, result);
  AddKernels(*bench, result);
  AddAdmissionBench(*bench, result);
}

}  // namespace plimsoll
