#include "tools/bench/admission_command.h"

#include <unistd.h>

#include <cstdio>
#include <memory>

#include "kvcache/base/errors.h"
#include "tools/bench/admission_bench.h"
#include "tools/bench/echo_server.h"
#include "tools/output_file.h"

namespace plimsoll {
namespace {

struct AdmissionText {
  int64_t milliseconds = 250, rounds = 20, watchers = 1000, live = 10'000;
  std::string format = "text", output, only;
  std::vector<std::string> echo;
};

absl::StatusOr<AdmissionBenchOptions> ReadArguments(const AdmissionText& text) {
  if (text.milliseconds < 1 || text.milliseconds > 60'000) {
    return BadField("--milliseconds", text.milliseconds, "1 to 60000");
  }
  if (text.rounds < 1 || text.rounds > 100) return BadField("--rounds", text.rounds, "1 to 100");
  if (text.watchers < 1 || text.watchers > 10'000) {
    return BadField("--watchers", text.watchers, "1 to 10000");
  }
  if (text.live < 1 || text.live > 1'000'000) return BadField("--live", text.live, "1 to 1000000");
  AdmissionBenchOptions options;
  options.time = std::chrono::milliseconds(text.milliseconds);
  options.rounds = static_cast<int>(text.rounds);
  options.watchers = static_cast<int>(text.watchers);
  options.live = text.live;
  options.only = text.only;
  if (isatty(STDERR_FILENO) == 1) {
    options.on_progress = [](const std::string& what) {
      std::fprintf(stderr, "measuring: %s\n", what.c_str());
    };
  }
  return options;
}

absl::Status BenchAdmission(const AdmissionText& text) {
  if (!text.echo.empty()) return ServeEcho(text.echo);
  const absl::StatusOr<AdmissionBenchOptions> options = ReadArguments(text);
  if (!options.ok()) return options.status();
  const absl::StatusOr<AdmissionFigures> figures = MeasureAdmission(*options);
  if (!figures.ok()) return figures.status();
  return WriteOutput(text.output,
                     text.format == "json" ? AdmissionAsJson(*figures) : AdmissionAsText(*figures));
}

}  // namespace

void AddAdmissionBench(CLI::App& bench, CommandResult& result) {
  CLI::App* const command = bench.add_subcommand(
      "admission", "Reserving over gRPC beside a bare echo; exit code 1 for a wrong answer");
  const auto text = std::make_shared<AdmissionText>();
  command->add_option("--milliseconds", text->milliseconds, "Of each load, of each round")
      ->capture_default_str();
  command->add_option("--rounds", text->rounds, "Of which medians are taken")
      ->capture_default_str();
  command->add_option("--watchers", text->watchers, "Who hear of every change, five times a second")
      ->capture_default_str();
  command
      ->add_option("--live", text->live,
                   "Reservations held in process; ten times so many for "
                   "what each takes")
      ->capture_default_str();
  command->add_option("--only", text->only,
                      "Measure what has this in its name, such as TCP or batch");
  command->add_option("--format", text->format, "How to print it")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->add_option("-o,--output", text->output, "File to write instead of standard output");
  command->add_option("--echo", text->echo, "Be the echo at these addresses")->group("");
  command->callback([text, &result] {
    const absl::Status status = BenchAdmission(*text);
    if (!status.ok()) result.exit_code = ReportError(Annotate(status, "bench admission"));
  });
}

}  // namespace plimsoll
