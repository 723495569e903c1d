#include "tools/client/operator_commands.h"

#include <memory>
#include <string>

#include "rpc/operator_client.h"
#include "tools/client/answer_text.h"
#include "tools/client/client_arguments.h"

namespace plimsoll {
namespace {

int RunDrain(const ClientArguments& arguments) {
  const auto client = OperatorClient::Create(arguments.options());
  if (!client.ok()) return ReportError(client.status());
  const absl::StatusOr<HeldAtDrain> held = (*client)->Drain();
  if (!held.ok()) return ReportError(held.status());
  return Print(arguments.json() ? DrainJson(*held) : DrainText(*held), arguments, 0);
}

int RunResume(const ClientArguments& arguments) {
  const auto client = OperatorClient::Create(arguments.options());
  if (!client.ok()) return ReportError(client.status());
  const absl::Status resumed = (*client)->Resume();
  if (absl::IsFailedPrecondition(resumed)) {
    ReportError(resumed);
    return kRefused;
  }
  if (!resumed.ok()) return ReportError(resumed);
  return Print(arguments.json() ? "{\n  \"draining\": false\n}\n" : "resumed\n", arguments, 0);
}

int RunRevoke(const ClientArguments& arguments, const std::string& id) {
  const auto client = OperatorClient::Create(arguments.options());
  if (!client.ok()) return ReportError(client.status());
  const absl::StatusOr<Revocation> revoked = (*client)->Revoke(id);
  if (!revoked.ok()) return ReportError(revoked.status());
  return Print(arguments.json() ? RevokedJson(*revoked) : RevokedText(*revoked), arguments, 0);
}

void AddDrainCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command = app.add_subcommand(
      "drain", "Let a server take nothing new: exit 0 done, 3 it shuts down and cannot resume");
  const auto arguments = std::make_shared<ClientArguments>();
  const auto resume = std::make_shared<bool>(false);
  AddClientArguments(*command, *arguments);
  command->add_flag("--resume", *resume, "take requests again");
  command->callback([arguments, resume, &result] {
    result.exit_code = *resume ? RunResume(*arguments) : RunDrain(*arguments);
  });
}

void AddRevokeCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command =
      app.add_subcommand("revoke", "Take a reservation away from who holds it");
  const auto arguments = std::make_shared<ClientArguments>();
  const auto id = std::make_shared<std::string>();
  AddClientArguments(*command, *arguments);
  command->add_option("id", *id, "the reservation's id")->required();
  command->callback([arguments, id, &result] { result.exit_code = RunRevoke(*arguments, *id); });
}

}  // namespace

void AddOperatorCommands(CLI::App& app, CommandResult& result) {
  AddDrainCommand(app, result);
  AddRevokeCommand(app, result);
}

}  // namespace plimsoll
