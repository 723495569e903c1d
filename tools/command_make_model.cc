// plimsoll make-model: a small model of a known family, with random weights, to run and to test.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/weights/make_model.h"
#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "tools/command.h"
#include "tools/output_file.h"

namespace plimsoll {
namespace {

struct MakeModelArguments {
  std::string like, out, dtype, format = "text";
  std::optional<int64_t> layers, hidden, intermediate, heads, kv_heads, head_dim, vocab;
  uint64_t seed = 0;
};

absl::Status CheckCounts(const MakeModelArguments& arguments) {
  const std::pair<const char*, const std::optional<int64_t>&> counts[] = {
      {"layers", arguments.layers},     {"hidden", arguments.hidden},
      {"heads", arguments.heads},       {"intermediate", arguments.intermediate},
      {"kv_heads", arguments.kv_heads}, {"head_dim", arguments.head_dim},
      {"vocab", arguments.vocab}};
  for (const auto& [name, count] : counts) {
    if (count && *count < 1) return BadField(name, *count, "a number above 0");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<ElementType>> StorageType(const std::string& name) {
  if (name.empty()) return std::nullopt;
  const std::optional<ElementType> type = ElementTypeFromName(name);
  const bool plain =
      type == ElementType::kFp32 || type == ElementType::kFp16 || type == ElementType::kBf16;
  if (plain) return type;
  return BadField("dtype", name, "fp32, fp16 or bf16");
}

// A line that is rewritten, on a terminal only and not for what is over at once.
void ShowProgress(Bytes written, Bytes total) {
  constexpr Bytes kWorthShowing(int64_t{256} << 20);
  if (total < kWorthShowing || isatty(STDERR_FILENO) == 0) return;
  std::fprintf(stderr, "\r%3d%% of %s",
               static_cast<int>(100.0 * static_cast<double>(written.value()) /
                                static_cast<double>(total.value())),
               FormatSize(total).c_str());
  if (written == total) std::fprintf(stderr, "\n");
}

std::string Summary(const MakeModelArguments& arguments, const MadeModel& made) {
  const ModelConfig& config = made.config;
  if (arguments.format == "json") {
    const nlohmann::ordered_json summary = {{"folder", arguments.out},
                                            {"architecture", config.architecture},
                                            {"parameters", config.Parameters()},
                                            {"weights_bytes", made.weight_bytes.value()},
                                            {"layers", config.layers},
                                            {"dtype", std::string(NameOf(config.dtype))},
                                            {"seed", arguments.seed}};
    return summary.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
  }
  return arguments.out + ": " + config.architecture + ", " + std::to_string(config.layers) +
         " layers, " + std::to_string(config.Parameters()) + " parameters, " +
         FormatSize(made.weight_bytes) + " in " + std::string(NameOf(config.dtype)) + "\n";
}

absl::Status RunMakeModel(const MakeModelArguments& arguments) {
  PLIMSOLL_RETURN_IF_ERROR(CheckCounts(arguments));
  const absl::StatusOr<std::optional<ElementType>> type = StorageType(arguments.dtype);
  if (!type.ok()) return type.status();
  const absl::StatusOr<MadeModel> made =
      MakeModel({.like = arguments.like,
                 .folder = arguments.out,
                 .shape = {.layers = arguments.layers,
                           .hidden = arguments.hidden,
                           .intermediate = arguments.intermediate,
                           .heads = arguments.heads,
                           .kv_heads = arguments.kv_heads,
                           .head_dim = arguments.head_dim,
                           .vocab = arguments.vocab,
                           .type = *type},
                 .seed = arguments.seed,
                 .progress = ShowProgress});
  if (!made.ok()) return Annotate(made.status(), "make-model");
  return WriteOutput("", Summary(arguments, *made));
}

}  // namespace

void AddMakeModelCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command = app.add_subcommand(
      "make-model", "Write a model of a known family with random weights, in Hugging Face layout");
  const auto arguments = std::make_shared<MakeModelArguments>();
  MakeModelArguments& a = *arguments;
  command->add_option("--like", a.like, "Model folder or config.json to take the family from")
      ->required();
  command->add_option("--out", a.out, "Folder to write; must not exist, or be empty")->required();
  command->add_option("--layers", a.layers, "Layers");
  command->add_option("--hidden", a.hidden, "Hidden size");
  command->add_option("--intermediate", a.intermediate, "Width of the MLP, of experts too");
  command->add_option("--heads", a.heads, "Attention heads");
  command->add_option("--kv-heads", a.kv_heads, "Heads of K and V; divides the heads");
  command->add_option("--head-dim", a.head_dim, "Width of a head");
  command->add_option("--vocab", a.vocab, "Tokens of the vocabulary");
  command->add_option("--dtype", a.dtype, "How weights are stored: fp32, fp16 or bf16");
  command->add_option("--seed", a.seed, "The same seed gives the same weights")
      ->capture_default_str();
  command->add_option("--format", a.format, "How to print the summary")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->footer(
      "What is not given stays as --like has it. The folder appears whole or not at all.\n\n"
      "Example: plimsoll make-model --like Llama-3.1-8B/config.json --out tiny --layers 4\n"
      "           --hidden 256 --intermediate 704 --heads 8 --kv-heads 2 --head-dim 32 "
      "--vocab 4096");
  command->callback([arguments, &result] {
    const absl::Status status = RunMakeModel(*arguments);
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
