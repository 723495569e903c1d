// plimsoll quantize: a model's matrices in int8 or int4, in a layout that other programs read too.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/weights/quantise_checkpoint.h"
#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "tools/command.h"
#include "tools/output_file.h"

namespace plimsoll {
namespace {

struct QuantizeArguments {
  std::string model, weights, out, format = "text";
};

// A line that is rewritten, on a terminal only and not for what is over at once.
void ShowProgress(Bytes written, Bytes total) {
  constexpr Bytes kWorthShowing(int64_t{64} << 20);
  if (total < kWorthShowing || isatty(STDERR_FILENO) == 0) return;
  std::fprintf(stderr, "\r%3d%% of %s",
               static_cast<int>(100.0 * static_cast<double>(written.value()) /
                                static_cast<double>(total.value())),
               FormatSize(total).c_str());
  if (written == total) std::fprintf(stderr, "\n");
}

absl::Status RunQuantize(const QuantizeArguments& arguments) {
  const std::optional<ElementType> type = ElementTypeFromName(arguments.weights);
  if (!type) return BadField("weights", Excerpt(arguments.weights), "int8 or int4");
  const absl::StatusOr<Bytes> written = QuantiseCheckpoint(
      {.model = arguments.model, .type = *type, .folder = arguments.out, .progress = ShowProgress});
  if (!written.ok()) return written.status();
  const std::string name(NameOf(*type));
  if (arguments.format == "json") {
    const nlohmann::ordered_json summary = {
        {"folder", arguments.out}, {"weights", name}, {"weights_bytes", written->value()}};
    return WriteOutput("",
                       summary.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n");
  }
  return WriteOutput("", arguments.out + ": " + name + ", " + FormatSize(*written) + "\n");
}

}  // namespace

void AddQuantizeCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command =
      app.add_subcommand("quantize", "Write a model with its matrices rounded to int8 or int4");
  const auto arguments = std::make_shared<QuantizeArguments>();
  QuantizeArguments& a = *arguments;
  command->add_option("--model", a.model, "Model folder, in fp32, fp16 or bf16")->required();
  command->add_option("--weights", a.weights, "int8 (a scale a row) or int4 (groups of 128)")
      ->required();
  command->add_option("--out", a.out, "Folder to write; must not exist, or be empty")->required();
  command->add_option("--format", a.format, "How to print the summary")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->footer(
      "The layout is compressed-tensors' pack-quantized (W8A16, W4A16). The folder appears whole\n"
      "or not at all.\n\n"
      "Example: plimsoll quantize --model Llama-3.1-8B --weights int4 --out Llama-3.1-8B-int4");
  command->callback([arguments, &result] {
    const absl::Status status = RunQuantize(*arguments);
    if (!status.ok()) result.exit_code = ReportError(Annotate(status, "quantize"));
  });
}

}  // namespace plimsoll
