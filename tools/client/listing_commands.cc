#include "tools/client/listing_commands.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/operator_client.h"
#include "tools/client/client_arguments.h"
#include "tools/client/listing_text.h"

namespace plimsoll {
namespace {

constexpr int64_t kPage = 1000;
constexpr int64_t kMostListed = 1'000'000;

struct ReservationsArguments {
  ClientArguments client;
  std::string tenant, state;
  bool of_tenant = false;
  int64_t limit = 100;
};

absl::StatusOr<std::pair<std::vector<Holding>, bool>> ReservationsOf(
    const ReservationsArguments& arguments) {
  if (arguments.limit < 1 || arguments.limit > kMostListed) {
    return BadField("--limit", arguments.limit, "1 to " + std::to_string(kMostListed));
  }
  HoldingFilter filter{.state = HoldingStateFromName(arguments.state)};
  if (arguments.of_tenant) filter.tenant = arguments.tenant;
  const auto client = OperatorClient::Create(arguments.client.options());
  if (!client.ok()) return client.status();
  std::vector<Holding> held;
  PageWanted wanted;
  do {
    wanted.size = std::min(kPage, arguments.limit - std::ssize(held));
    absl::StatusOr<ReservationPage> page = (*client)->ListReservations(wanted, filter);
    if (!page.ok()) return page.status();
    std::move(page->reservations.begin(), page->reservations.end(), std::back_inserter(held));
    wanted.token = page->next_token;
  } while (!wanted.token.empty() && std::ssize(held) < arguments.limit);
  return std::pair(std::move(held), !wanted.token.empty());
}

int RunReservations(const ReservationsArguments& arguments) {
  const auto listed = ReservationsOf(arguments);
  if (!listed.ok()) return ReportError(listed.status());
  const auto& [held, more] = *listed;
  return Print(
      arguments.client.json() ? ReservationsJson(held, more) : ReservationsText(held, more),
      arguments.client, 0);
}

int RunTenants(const ClientArguments& arguments) {
  const auto client = OperatorClient::Create(arguments.options());
  if (!client.ok()) return ReportError(client.status());
  TenantPage all;
  PageWanted wanted{.size = kPage};
  do {
    const absl::StatusOr<TenantPage> page = (*client)->ListTenants(wanted);
    if (!page.ok()) return ReportError(page.status());
    all.tenants.insert(all.tenants.end(), page->tenants.begin(), page->tenants.end());
    all.departed = page->departed;
    wanted.token = page->next_token;
  } while (!wanted.token.empty());
  return Print(arguments.json() ? TenantsJson(all) : TenantsText(all), arguments, 0);
}

void AddReservationsCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command =
      app.add_subcommand("reservations", "Who holds what, the oldest grant first");
  const auto arguments = std::make_shared<ReservationsArguments>();
  AddClientArguments(*command, arguments->client);
  CLI::Option* const tenant =
      command->add_option("--tenant", arguments->tenant, "only this tenant's");
  command->add_option("--state", arguments->state, "only those that do this")
      ->check(CLI::IsMember({"unconfirmed", "held", "running", "suspended", "stopping"}));
  command->add_option("--limit", arguments->limit, "at most so many")->capture_default_str();
  command->callback([arguments, tenant, &result] {
    arguments->of_tenant = tenant->count() > 0;
    result.exit_code = RunReservations(*arguments);
  });
}

void AddTenantsCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command =
      app.add_subcommand("tenants", "What each tenant may hold, holds and did");
  const auto arguments = std::make_shared<ClientArguments>();
  AddClientArguments(*command, *arguments);
  command->callback([arguments, &result] { result.exit_code = RunTenants(*arguments); });
}

}  // namespace

void AddListingCommands(CLI::App& app, CommandResult& result) {
  AddReservationsCommand(app, result);
  AddTenantsCommand(app, result);
}

}  // namespace plimsoll
