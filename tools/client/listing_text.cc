#include "tools/client/listing_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;

double SecondsOf(Duration duration) {
  return std::chrono::duration<double>(std::chrono::floor<std::chrono::milliseconds>(duration))
      .count();
}

Blocks UnusedOf(const Holding& holding) {
  return holding.blocks - std::min(holding.used, holding.blocks);
}

Json JsonOf(const Holding& holding) {
  return {{"reservation_id", holding.id},
          {"tenant", holding.tenant},
          {"state", std::string(NameOf(holding.state))},
          {"age_seconds", SecondsOf(holding.age)},
          {"remaining_seconds",
           holding.remaining ? Json(SecondsOf(*holding.remaining)) : Json(nullptr)},
          {"prompt_tokens", holding.prompt_tokens.value()},
          {"max_new_tokens", holding.max_new_tokens.value()},
          {"blocks", holding.blocks.value()},
          {"used_blocks", holding.used.value()},
          {"unused_blocks", UnusedOf(holding).value()},
          {"may_be_stopped", holding.may_stop}};
}

bool Bounded(const TenantUse& use) { return use.quota.most != TenantQuota().most; }

Json JsonOf(const TenantUse& use, bool departed) {
  return {{"tenant", use.tenant},
          {"departed", departed},
          {"guaranteed_blocks", use.quota.guaranteed.value()},
          {"most_blocks", Bounded(use) ? Json(use.quota.most.value()) : Json(nullptr)},
          {"blocks", use.blocks.value()},
          {"reservations", use.reservations},
          {"waiting", use.waiting},
          {"admitted_count", use.admitted},
          {"waited_count", use.waited},
          {"refused_wait_count", use.refused_wait},
          {"refused_never_count", use.refused_never},
          {"released_count", use.released},
          {"expired_count", use.expired}};
}

std::string TextOf(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string NumberText(int64_t number) { return std::to_string(number); }

bool IsDeparted(const TenantPage& all, const TenantUse& use) {
  return all.departed && &use == &all.tenants.back();
}

}  // namespace

std::string ReservationsJson(const std::vector<Holding>& held, bool more) {
  Json list = Json::array();
  for (const Holding& holding : held) list.push_back(JsonOf(holding));
  return TextOf({{"reservations", list}, {"more", more}});
}

std::string ReservationsText(const std::vector<Holding>& held, bool more) {
  std::vector<TextRow> rows = {
      {"reservation", "tenant", "state", "age", "lease", "blocks", "used", "unused"}};
  for (const Holding& holding : held) {
    rows.push_back({holding.id, holding.tenant.empty() ? "-" : holding.tenant,
                    std::string(NameOf(holding.state)), ShortDuration(holding.age),
                    holding.remaining ? ShortDuration(*holding.remaining) : "-",
                    NumberText(holding.blocks.value()), NumberText(holding.used.value()),
                    NumberText(UnusedOf(holding).value())});
  }
  if (held.empty()) return "no reservations\n";
  return TextTable(rows) + (more ? "  and more; --limit shows them\n" : "");
}

std::string TenantsJson(const TenantPage& all) {
  Json list = Json::array();
  for (const TenantUse& use : all.tenants) list.push_back(JsonOf(use, IsDeparted(all, use)));
  return TextOf({{"tenants", list}});
}

std::string TenantsText(const TenantPage& all) {
  std::vector<TextRow> rows = {{"tenant", "blocks", "kept", "most", "held", "waiting", "admitted",
                                "refused", "released", "expired"}};
  for (const TenantUse& use : all.tenants) {
    const std::string name = IsDeparted(all, use) ? "(departed)"
                             : use.tenant.empty() ? "-"
                                                  : use.tenant;
    rows.push_back({name, NumberText(use.blocks.value()), NumberText(use.quota.guaranteed.value()),
                    Bounded(use) ? NumberText(use.quota.most.value()) : "-",
                    NumberText(use.reservations), NumberText(use.waiting), NumberText(use.admitted),
                    NumberText(use.refused_wait + use.refused_never), NumberText(use.released),
                    NumberText(use.expired)});
  }
  return TextTable(rows);
}

std::string ShortDuration(Duration duration) {
  using std::chrono::duration_cast;
  const auto ms = duration_cast<std::chrono::milliseconds>(duration).count();
  const int64_t s = ms / 1000;
  if (ms < 1000) return absl::StrFormat("%dms", ms);
  if (s < 60) return absl::StrFormat("%ds", s);
  if (s < 3600) return absl::StrFormat("%dm%02ds", s / 60, s % 60);
  if (s < 86400) return absl::StrFormat("%dh%02dm", s / 3600, s % 3600 / 60);
  return absl::StrFormat("%dd%02dh", s / 86400, s % 86400 / 3600);
}

}  // namespace plimsoll
