// plimsoll generate: the decoder from the shell, one request on an engine of its own.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/loop/generation_request.h"
#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/block_demand.h"
#include "tools/command.h"
#include "tools/kv_type.h"
#include "tools/npy_file.h"
#include "tools/output_file.h"
#include "tools/token_list.h"

namespace plimsoll {
namespace {

struct GenerateArguments {
  std::string model, tokens, device = "auto", memory, weights, kv, logits, format = "text", output;
  int64_t max_new_tokens = 0;
  int64_t block_tokens = 16;
  SamplingOptions sampling;
  bool reference = false;
  bool ignore_eos = false;
};

// Collects what the loop delivers; progress is shown on a terminal only.
class Collector final : public GenerationListener {
 public:
  Collector(int64_t expected, NpyFile* logits)
      : expected_(expected), logits_(logits), terminal_(isatty(STDERR_FILENO) != 0) {}

  void OnToken(int32_t token) override {
    tokens_.push_back(token);
    if (!terminal_) return;
    std::fprintf(stderr, "\r%zu of %lld tokens", tokens_.size(), static_cast<long long>(expected_));
  }
  void OnLogits(int64_t /*position*/, std::span<const float> row) override { logits_->Append(row); }
  void OnFinished(FinishReason reason, const absl::Status& status) override {
    reason_ = reason;
    status_ = status;
    if (terminal_) std::fprintf(stderr, "\n");
  }

  const std::vector<int32_t>& tokens() const { return tokens_; }
  std::string reason() const { return reason_ == FinishReason::kStop ? "stop" : "length"; }
  const absl::Status& status() const { return status_; }

 private:
  const int64_t expected_;
  NpyFile* const logits_;
  const bool terminal_;
  std::vector<int32_t> tokens_;
  FinishReason reason_ = FinishReason::kCancelled;
  absl::Status status_;
};

// A pool for this request alone, unless --memory says what to plan for.
absl::StatusOr<EngineOptions> EngineOptionsFrom(const GenerateArguments& arguments,
                                                const GenerationRequest& request) {
  constexpr int64_t kLogitRows = 64;  // of one step, where all are asked for
  EngineOptions options{.model_path = arguments.model, .device = arguments.device};
  const int64_t block = arguments.block_tokens;
  if (block < 1 || block > 1024 || (block & (block - 1)) != 0) {
    return BadField("block_tokens", block, "a power of two from 1 to 1024");
  }
  options.block_tokens = Tokens(block);
  options.kv_type = ElementType::kFp32;  // the logits are the model's, not its cache's rounding
  if (!arguments.kv.empty()) {
    const auto kv = ReadKvType(arguments.kv, "kv");
    if (!kv.ok()) return kv.status();
    options.kv_type = *kv;
  }
  if (!arguments.weights.empty()) {
    options.weights = WeightFormatFromName(arguments.weights);
    if (!options.weights) return BadField("weights", Excerpt(arguments.weights), "int8 or int4");
  }
  options.reference = arguments.reference;
  options.loop.max_sequences = request.all_logits ? kLogitRows : 1;
  const Tokens total = Tokens(std::ssize(request.prompt)) + request.max_new_tokens;
  if (arguments.memory.empty()) {
    options.blocks = BlocksForSequence(total, options.block_tokens);
    return options;
  }
  const absl::StatusOr<Bytes> memory = ParseSize(arguments.memory, "memory");
  if (!memory.ok()) return memory.status();
  options.memory = *memory;
  return options;
}

absl::StatusOr<GenerationRequest> RequestFrom(const GenerateArguments& arguments) {
  absl::StatusOr<std::vector<int32_t>> prompt = ParseTokenList(arguments.tokens);
  if (!prompt.ok()) return prompt.status();
  if (arguments.max_new_tokens < 1 || arguments.max_new_tokens > kMaxTokens) {
    return BadField("max_new_tokens", arguments.max_new_tokens, "1 to 2^40");
  }
  return GenerationRequest{.reservation_id = {},
                           .prompt = *std::move(prompt),
                           .max_new_tokens = Tokens(arguments.max_new_tokens),
                           .sampling = arguments.sampling,
                           .stop_at_eos = !arguments.ignore_eos,
                           .all_logits = !arguments.logits.empty()};
}

// The id of a reservation for the request, which the pool may be too small for.
absl::StatusOr<std::string> Reserve(Engine& engine, const GenerationRequest& request) {
  const ReservationRequest wanted{.prompt_tokens = Tokens(std::ssize(request.prompt)),
                                  .max_new_tokens = request.max_new_tokens};
  const absl::StatusOr<Answer> answer = engine.admission().With(
      [&](AdmissionController& admission) { return admission.Reserve(wanted); });
  if (!answer.ok()) return answer.status();
  if (const auto* granted = std::get_if<Reservation>(&*answer)) return granted->id;
  const Refusal& refusal = std::get<Refusal>(*answer);
  const Blocks there = engine.admission().With(
      [](AdmissionController& admission) { return admission.cache().counts().total; });
  return absl::ResourceExhaustedError(
      "the pool is too small: " + std::to_string(refusal.needed.value()) + " blocks needed, " +
      std::to_string(there.value()) + " there; the largest that fits is " +
      std::to_string(refusal.largest_fit.value()) + " tokens");
}

std::string Report(const GenerateArguments& arguments, const Engine& engine,
                   const Collector& collected) {
  if (arguments.format == "text") return FormatTokenList(collected.tokens()) + "\n";
  nlohmann::ordered_json memory = nlohmann::json::array();
  for (const MemoryStage& stage : engine.memory()) {
    memory.push_back({{"stage", stage.name},
                      {"predicted_bytes", stage.predicted.value()},
                      {"measured_bytes", stage.measured.value()}});
  }
  const nlohmann::ordered_json report = {{"model", engine.model().name},
                                         {"device", engine.device()},
                                         {"tokens", collected.tokens()},
                                         {"finish_reason", collected.reason()},
                                         {"memory", std::move(memory)}};
  return report.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

absl::StatusOr<std::unique_ptr<Engine>> StartEngine(const GenerateArguments& arguments,
                                                    const GenerationRequest& request,
                                                    const Clock& clock) {
  const absl::StatusOr<ModelConfig> model = ReadModelConfig(arguments.model);
  if (!model.ok()) return model.status();
  PLIMSOLL_RETURN_IF_ERROR(CheckRequest(request, *model));
  const absl::StatusOr<EngineOptions> options = EngineOptionsFrom(arguments, request);
  if (!options.ok()) return options.status();
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(*options, clock);
  if (engine.ok() && !(*engine)->device_note().empty()) {
    std::fprintf(stderr, "plimsoll: using the CPU: %s\n", (*engine)->device_note().c_str());
  }
  return engine;
}

// Sets `refused` when the pool is too small for the request.
absl::Status RunGenerate(const GenerateArguments& arguments, bool& refused) {
  absl::StatusOr<GenerationRequest> request = RequestFrom(arguments);
  if (!request.ok()) return request.status();
  const SystemClock clock;
  const absl::StatusOr<std::unique_ptr<Engine>> engine = StartEngine(arguments, *request, clock);
  if (!engine.ok()) return engine.status();
  std::unique_ptr<NpyFile> logits;
  if (request->all_logits) {
    absl::StatusOr<std::unique_ptr<NpyFile>> file =
        NpyFile::Create(arguments.logits, (*engine)->model().vocab_size);
    if (!file.ok()) return file.status();
    logits = *std::move(file);
  }
  absl::StatusOr<std::string> reservation = Reserve(**engine, *request);
  refused = absl::IsResourceExhausted(reservation.status());
  if (!reservation.ok()) return reservation.status();
  request->reservation_id = *std::move(reservation);
  const auto collector = std::make_shared<Collector>(arguments.max_new_tokens, logits.get());
  GenerationLoop& loop = (*engine)->loop();
  PLIMSOLL_RETURN_IF_ERROR(loop.Submit(*std::move(request), collector).status());
  while (loop.Step()) {
  }
  PLIMSOLL_RETURN_IF_ERROR(collector->status());
  if (logits) PLIMSOLL_RETURN_IF_ERROR(logits->Finish());
  return WriteOutput(arguments.output, Report(arguments, **engine, *collector));
}

}  // namespace

void AddGenerateCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command =
      app.add_subcommand("generate", "Continue a list of tokens with a model, on this machine");
  const auto arguments = std::make_shared<GenerateArguments>();
  GenerateArguments& a = *arguments;
  command->add_option("--model", a.model, "Model folder")->required();
  command->add_option("--tokens", a.tokens, "The prompt: 1,2,3 or @FILE")->required();
  command->add_option("--max-new-tokens", a.max_new_tokens, "At most so many")->required();
  command->add_option("--device", a.device, "auto, cpu or cuda")->capture_default_str();
  command->add_option("--memory", a.memory,
                      "Device memory to plan for (SIZE); default: what this request needs");
  command->add_option("--weights", a.weights,
                      "int8 or int4: round matrices to that when loading (default: as stored)");
  command->add_option(
      "--kv", a.kv,
      std::string("Type of K and V: ") + kKvTypes + " (default: fp32, which rounds nothing)");
  command->add_option("--block-tokens", a.block_tokens, "Tokens of a block, a power of two")
      ->capture_default_str();
  command->add_option("--temperature", a.sampling.temperature, "0 takes the likeliest token")
      ->capture_default_str();
  command->add_option("--top-k", a.sampling.top_k, "Choose among so many; 0: all")
      ->capture_default_str();
  command->add_option("--top-p", a.sampling.top_p, "Choose among the likeliest that make up this")
      ->capture_default_str();
  command->add_option("--seed", a.sampling.seed, "The same seed gives the same tokens")
      ->capture_default_str();
  command->add_flag("--ignore-eos", a.ignore_eos, "Go on past the end-of-sequence token");
  command->add_option("--logits", a.logits,
                      "Write float32 logits here (.npy): a row for each position of the prompt, "
                      "then for each new token");
  command
      ->add_flag("--reference", a.reference, "Use the scalar operations that judge the fast ones")
      ->group("");  // for developers: not in the help
  command->add_option("--format", a.format, "How to print the tokens")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->add_option("-o,--output", a.output, "Write here instead of standard output");
  command->callback([arguments, &result] {
    bool refused = false;
    const absl::Status status = RunGenerate(*arguments, refused);
    if (!status.ok()) result.exit_code = ReportError(Annotate(status, "generate"));
    if (refused) result.exit_code = 3;
  });
}

}  // namespace plimsoll
