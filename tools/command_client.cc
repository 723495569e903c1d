// plimsoll capacity, reserve, release and resize: a client's view, one command each.
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/sizing/block_demand.h"
#include "rpc/client.h"
#include "tools/client/answer_text.h"
#include "tools/client/client_arguments.h"
#include "tools/client/listing_commands.h"
#include "tools/client/operator_commands.h"
#include "tools/command.h"
#include "tools/duration_text.h"

namespace plimsoll {
namespace {

struct ReserveArguments {
  ClientArguments client;
  int64_t prompt_tokens = 0;
  int64_t max_new_tokens = 0;
  std::string ttl = "0";
  std::string wait = "0";
  std::string tenant;
  std::string request_id;
  int priority = 0;
  std::string request_class;
  std::string resumes;
  bool validate_only = false;
};

absl::StatusOr<Tokens> TokensArgument(const char* name, int64_t value, int64_t min) {
  if (value >= min && value <= kMaxTokens) return Tokens(value);
  return BadField(name, value, std::to_string(min) + " to " + std::to_string(kMaxTokens));
}

absl::StatusOr<ReservationRequest> RequestFrom(const ReserveArguments& arguments) {
  const auto prompt = TokensArgument("--prompt-tokens", arguments.prompt_tokens, 1);
  if (!prompt.ok()) return prompt.status();
  const auto fresh = TokensArgument("--max-new-tokens", arguments.max_new_tokens, 0);
  if (!fresh.ok()) return fresh.status();
  const absl::StatusOr<Duration> ttl = ParseDuration(arguments.ttl, "--ttl");
  if (!ttl.ok()) return ttl.status();
  return ReservationRequest{.request_id = arguments.request_id,
                            .tenant = arguments.tenant,
                            .prompt_tokens = *prompt,
                            .max_new_tokens = *fresh,
                            .ttl = *ttl,
                            .priority = arguments.priority,
                            .request_class = arguments.request_class,
                            .resumes = arguments.resumes};
}

int RunCapacity(const ClientArguments& arguments) {
  const auto client = Client::Create(arguments.options());
  if (!client.ok()) return ReportError(client.status());
  const absl::StatusOr<CapacityReport> report = (*client)->GetCapacity();
  if (!report.ok()) return ReportError(report.status());
  return Print(arguments.json() ? ToJson(*report, 2) + "\n" : CapacityText(*report), arguments, 0);
}

int RunReserve(const ReserveArguments& arguments) {
  const absl::StatusOr<ReservationRequest> request = RequestFrom(arguments);
  if (!request.ok()) return ReportError(request.status());
  const absl::StatusOr<Duration> wait = ParseDuration(arguments.wait, "--wait");
  if (!wait.ok()) return ReportError(wait.status());
  const auto client = Client::Create(arguments.client.options());
  if (!client.ok()) return ReportError(client.status());
  const absl::StatusOr<Answer> answer =
      arguments.validate_only ? (*client)->CanAdmit(*request) : (*client)->Reserve(*request, *wait);
  if (!answer.ok()) return ReportError(answer.status());
  const bool refused = std::holds_alternative<Refusal>(*answer);
  return Print(arguments.client.json() ? AnswerJson(*answer) : AnswerText(*answer),
               arguments.client, refused ? kRefused : 0);
}

int RunRelease(const ClientArguments& arguments, const std::string& id) {
  const auto client = Client::Create(arguments.options());
  if (!client.ok()) return ReportError(client.status());
  const absl::Status released = (*client)->Release(id);
  if (!released.ok()) return ReportError(released);
  return Print(arguments.json() ? "{\n  \"released\": true\n}\n" : "released\n", arguments, 0);
}

absl::StatusOr<PoolSize> PoolSizeFrom(const std::optional<int64_t>& blocks,
                                      const std::string& memory) {
  if (blocks.has_value() == !memory.empty()) {
    return absl::InvalidArgumentError("resize: want either --blocks or --memory");
  }
  if (blocks) {
    if (*blocks < 1) return BadField("--blocks", *blocks, "1 or more");
    return PoolSize(Blocks(*blocks));
  }
  const absl::StatusOr<Bytes> bytes = ParseSize(memory, "--memory");
  if (!bytes.ok()) return bytes.status();
  return PoolSize(*bytes);
}

int RunResize(const ClientArguments& arguments, const std::optional<int64_t>& blocks,
              const std::string& memory) {
  const absl::StatusOr<PoolSize> size = PoolSizeFrom(blocks, memory);
  if (!size.ok()) return ReportError(size.status());
  const auto client = Client::Create(arguments.options());
  if (!client.ok()) return ReportError(client.status());
  const absl::StatusOr<PoolResized> resized = (*client)->ResizePool(*size);
  if (absl::IsFailedPrecondition(resized.status())) {
    ReportError(resized.status());
    return kRefused;
  }
  if (!resized.ok()) return ReportError(resized.status());
  return Print(arguments.json() ? ResizedJson(*resized) : ResizedText(*resized), arguments, 0);
}

void AddCapacityCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command = app.add_subcommand("capacity", "What a server's pool looks like now");
  const auto arguments = std::make_shared<ClientArguments>();
  AddClientArguments(*command, *arguments);
  command->callback([arguments, &result] { result.exit_code = RunCapacity(*arguments); });
}

void AddReserveCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command = app.add_subcommand(
      "reserve", "Reserve room for a request: exit 0 admitted, 3 refused, 4 server unreachable");
  const auto arguments = std::make_shared<ReserveArguments>();
  AddClientArguments(*command, arguments->client);
  command->add_option("--prompt-tokens", arguments->prompt_tokens, "tokens in the prompt")
      ->required();
  command
      ->add_option("--max-new-tokens", arguments->max_new_tokens,
                   "most tokens that may be generated")
      ->required();
  command->add_option("--ttl", arguments->ttl,
                      "how long it lives without a sign of life; 0: the server's default");
  command->add_option("--wait", arguments->wait, "how long to queue for room; 0: not at all");
  command->add_option("--tenant", arguments->tenant, "whose request it is");
  command->add_option("--request-id", arguments->request_id,
                      "the same id gives the same reservation again");
  command->add_option("--priority", arguments->priority, "-2 to 2; higher ones are served first")
      ->capture_default_str();
  command->add_option("--class", arguments->request_class,
                      "one of the server's classes; none: the server's own policy");
  command->add_option("--resumes", arguments->resumes,
                      "a reservation that was released because it was told to yield");
  command->add_flag("--validate-only", arguments->validate_only, "ask without reserving");
  command->callback([arguments, &result] { result.exit_code = RunReserve(*arguments); });
}

void AddReleaseCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command = app.add_subcommand("release", "Give a reservation back");
  const auto arguments = std::make_shared<ClientArguments>();
  const auto id = std::make_shared<std::string>();
  AddClientArguments(*command, *arguments);
  command->add_option("id", *id, "the reservation's id, as reserve printed it")->required();
  command->callback([arguments, id, &result] { result.exit_code = RunRelease(*arguments, *id); });
}

void AddResizeCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command = app.add_subcommand(
      "resize", "Make a server's pool larger or smaller: exit 0 done, 3 what is held does not fit");
  const auto arguments = std::make_shared<ClientArguments>();
  const auto blocks = std::make_shared<std::optional<int64_t>>();
  const auto memory = std::make_shared<std::string>();
  AddClientArguments(*command, *arguments);
  command->add_option("--blocks", *blocks, "so many blocks, at most the server's --max-blocks");
  command->add_option("--memory", *memory, "as many blocks as fit, such as 8GiB");
  command->callback([arguments, blocks, memory, &result] {
    result.exit_code = RunResize(*arguments, *blocks, *memory);
  });
}

}  // namespace

void AddClientCommands(CLI::App& app, CommandResult& result) {
  AddCapacityCommand(app, result);
  AddReserveCommand(app, result);
  AddReleaseCommand(app, result);
  AddResizeCommand(app, result);
  AddListingCommands(app, result);
  AddOperatorCommands(app, result);
}

}  // namespace plimsoll
