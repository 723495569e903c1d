// plimsoll gpus: the GPUs known by name, and what their runtime is estimated to take.
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kvcache/base/size_text.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/runtime_bytes.h"
#include "tools/command.h"
#include "tools/grouped_number.h"
#include "tools/output_file.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;

struct GpusArguments {
  std::string format = "text", output;
};

std::string ConstantMark(const RuntimeConstant& constant) {
  return constant.measured ? "measured" : "estimated";
}

std::string GpusAsText() {
  std::vector<TextRow> gpus = {{"name", "bytes", "size", "GB/s", "processors", "memory is"}};
  for (const GpuSpec& gpu : KnownGpus()) {
    gpus.push_back({std::string(gpu.name), Grouped(gpu.memory().value()), FormatSize(gpu.memory()),
                    Grouped(gpu.bandwidth), Grouped(gpu.multiprocessors),
                    std::string(MarkOf(gpu.source))});
  }
  std::vector<TextRow> constants = {{"what the runtime takes", "value", "unit", ""}};
  for (const RuntimeConstant& constant : RuntimeConstants()) {
    constants.push_back({std::string(constant.name), Grouped(constant.value),
                         std::string(constant.unit), ConstantMark(constant)});
  }
  return TextTable(gpus) + "\n" + TextTable(constants);
}

Json AliasesJson(const GpuSpec& gpu) {
  Json aliases = Json::array();
  std::string alias;
  for (const char c : std::string(gpu.aliases) + " ") {
    if (c != ' ') {
      alias += c;
    } else if (!alias.empty()) {
      aliases.push_back(std::exchange(alias, ""));
    }
  }
  return aliases;
}

Json GpuJson(const GpuSpec& gpu) {
  return {{"name", gpu.name},
          {"aliases", AliasesJson(gpu)},
          {"memory_bytes", gpu.memory().value()},
          {"memory_mark", MarkOf(gpu.source)},
          {"memory_source", TextOf(gpu.source)},
          {"bandwidth_bytes_per_second", gpu.bandwidth * 1000000000},
          {"multiprocessors", gpu.multiprocessors},
          {"compute_capability", gpu.compute_capability / 10.0}};
}

std::string GpusAsJson() {
  Json gpus = Json::array(), constants = Json::array();
  for (const GpuSpec& gpu : KnownGpus()) gpus.push_back(GpuJson(gpu));
  for (const RuntimeConstant& constant : RuntimeConstants()) {
    constants.push_back({{"name", constant.name},
                         {"value", constant.value},
                         {"unit", constant.unit},
                         {"mark", ConstantMark(constant)},
                         {"source", constant.source}});
  }
  return Json{{"gpus", std::move(gpus)}, {"runtime", std::move(constants)}}.dump(2) + "\n";
}

}  // namespace

void AddGpusCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const gpus = app.add_subcommand("gpus", "GPUs known by name");
  const auto arguments = std::make_shared<GpusArguments>();
  gpus->add_option("--format", arguments->format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  gpus->add_option("-o,--output", arguments->output, "File to write to (default: standard output)");
  gpus->footer(
      "Memory is what CUDA or HIP reports as the total: measured where programs have printed it,\n"
      "estimated where only the size it is sold by is known. --gpu takes these names, their "
      "models\n"
      "(h100) and the makers' full names.");
  gpus->callback([arguments, &result] {
    const absl::Status status =
        WriteOutput(arguments->output, arguments->format == "json" ? GpusAsJson() : GpusAsText());
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
