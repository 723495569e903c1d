#include "rpc/dashboard/page_data.h"

#include <nlohmann/json.hpp>

#include "rpc/capacity_report.h"
#include "rpc/dashboard/holders.h"

namespace plimsoll {
namespace {

using nlohmann::ordered_json;

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// Names come from callers; bytes that are no UTF-8 are replaced.
std::string Text(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json DecisionsOf(const AdmissionSnapshot& now, const AdmissionTally& tally) {
  ordered_json rows = ordered_json::array();
  rows.push_back({{"outcome", "admitted"}, {"reason", ""}, {"count", now.admitted}});
  for (size_t i = 1; i < AdmissionTally::kReasons; ++i) {
    const auto reason = static_cast<Reason>(i);
    const bool never = reason == Reason::kNeverFits || reason == Reason::kTenantLimit;
    rows.push_back({{"outcome", never ? "never" : "wait"},
                    {"reason", NameOf(reason)},
                    {"count", tally.refused(reason)}});
  }
  return rows;
}

ordered_json WaitsOf(const DurationHistogram::Counts& recent, Duration oldest) {
  return {{"recent", recent.total()},
          {"p50_seconds", Seconds(recent.Quantile(0.5))},
          {"p99_seconds", Seconds(recent.Quantile(0.99))},
          {"oldest_seconds", Seconds(oldest)}};
}

ordered_json CountsOf(const AdmissionSnapshot& now) {
  return {{"admitted", now.admitted},
          {"waited", now.waited},
          {"released", now.released},
          {"expired", now.expired},
          {"preempted", now.preempted}};
}

template <class Field>
ordered_json Column(const std::vector<TimedSnapshot>& samples, Field field) {
  ordered_json column = ordered_json::array();
  for (const TimedSnapshot& sample : samples) column.push_back(field(sample));
  return column;
}

ordered_json SumOf(const HeldSum& held) {
  return {{"reservations", held.reservations},
          {"blocks", held.blocks.value()},
          {"unused_blocks", held.unused.value()},
          {"oldest_seconds", Seconds(held.oldest)}};
}

ordered_json TenantOf(const TenantSum& tenant) {
  ordered_json row = {{"tenant", tenant.tenant}};
  row.update(SumOf(tenant.held));
  return row;
}

ordered_json RowOf(const Holding& holding) {
  return {{"reservation_id", holding.id},
          {"tenant", holding.tenant},
          {"age_seconds", Seconds(holding.age)},
          {"blocks", holding.blocks.value()},
          {"used_blocks", holding.used.value()}};
}

// The oldest, some at a time, so that nobody waits long for the lock.
std::vector<Holding> OldestHoldings(SharedAdmission& admission) {
  constexpr int64_t kAtOnce = 250;
  constexpr size_t kMost = 1000;
  std::vector<Holding> all;
  for (std::optional<int64_t> after = 0; after && all.size() < kMost;) {
    HoldingPage page = admission.With(
        [&](AdmissionController& its) { return its.HoldingsAfter(*after, kAtOnce); });
    all.insert(all.end(), page.holdings.begin(), page.holdings.end());
    after = page.next;
  }
  return all;
}

// Who stops first where somebody has to, by the server's rule.
ordered_json VictimOf(const std::vector<Holding>& holdings, VictimRule rule, Tokens block_tokens) {
  std::vector<VictimCandidate> candidates;
  std::vector<const Holding*> held_by;
  for (const Holding& holding : holdings) {
    if (!holding.may_stop) continue;
    candidates.push_back({.arrival = std::ssize(candidates),
                          .recompute = block_tokens * holding.used.value(),
                          .given_back = holding.used});
    held_by.push_back(&holding);
  }
  if (candidates.size() < 2) return nullptr;  // who came first never stops
  return RowOf(*held_by[ChooseVictim(rule, candidates, Blocks(1))]);
}

ordered_json MemoryOf(const std::vector<MemoryStage>& stages) {
  ordered_json rows = ordered_json::array();
  for (const MemoryStage& stage : stages) {
    rows.push_back({{"stage", stage.name},
                    {"predicted_bytes", stage.predicted.value()},
                    {"measured_bytes", stage.measured.value()}});
  }
  return rows;
}

}  // namespace

std::string StateJson(const Served& served, const PoolHistory& history) {
  const CapacityReport report = served.Capacity();
  const AdmissionSnapshot& now = report.snapshot;
  const HealthReport health = served.health.Check();
  CapacityOutlook outlook = history.Outlook();
  outlook.now = now;
  ordered_json json = {
      {"capacity", ordered_json::parse(ToJson(report))},
      {"ready", health.ready},
      {"draining", now.draining},
      {"problems", health.problems},
      {"sentence", SentenceOf(outlook)},
      {"decisions", DecisionsOf(now, served.admission.tally())},
      {"counts", CountsOf(now)},
      {"waits", WaitsOf(history.RecentWaits(), health.oldest_wait)},
      {"uptime_seconds", Seconds(served.clock.WallNow() - served.started)},
  };
  if (outlook.shape) json["shape_blocks"] = outlook.shape->value();
  if (served.loop != nullptr) {
    const LoopStats loop = served.loop->Stats();
    json["loop"] = {{"running", loop.running},
                    {"steps", loop.steps},
                    {"prompt_tokens", loop.prompt_tokens},
                    {"generated_tokens", loop.generated_tokens}};
  }
  return Text(json);
}

std::string HistoryJson(const PoolHistory& history) {
  const std::vector<TimedSnapshot> samples = history.Samples();
  const Instant now = std::chrono::steady_clock::now();
  const auto of = [](auto blocks) {
    return [blocks](const TimedSnapshot& s) { return (s.snapshot.blocks.*blocks).value(); };
  };
  const auto counted = [](auto count) {
    return [count](const TimedSnapshot& s) { return s.snapshot.*count; };
  };
  const auto ago = [now](const TimedSnapshot& s) {
    return std::chrono::round<std::chrono::milliseconds>(now - s.at).count();
  };
  return Text({{"milliseconds_ago", Column(samples, ago)},
               {"total", Column(samples, of(&BlockCounts::total))},
               {"live", Column(samples, of(&BlockCounts::live))},
               {"reserved", Column(samples, of(&BlockCounts::reserved))},
               {"cached", Column(samples, of(&BlockCounts::cached))},
               {"admitted", Column(samples, counted(&AdmissionSnapshot::admitted))},
               {"wait", Column(samples, counted(&AdmissionSnapshot::refused_wait))},
               {"never", Column(samples, counted(&AdmissionSnapshot::refused_never))}});
}

std::string HoldersJson(const Served& served) {
  const std::vector<Holding> holdings = OldestHoldings(served.admission);
  const HoldersSummary summary = Summarise(holdings);
  const bool whole = served.admission.With(
      [](AdmissionController& admission) { return admission.promises_whole(); });
  const AdmissionSnapshot now = served.admission.published().Read();
  ordered_json json = {{"reservations", now.reservations}, {"counted", holdings.size()}};
  json["tenants"] = ordered_json::array();
  for (const TenantSum& tenant : summary.tenants) json["tenants"].push_back(TenantOf(tenant));
  if (summary.others.held.reservations > 0) json["others"] = TenantOf(summary.others);
  json["ages"] = ordered_json::array();
  for (const HeldSum& held : summary.by_age) json["ages"].push_back(SumOf(held));
  json["oldest"] = ordered_json::array();
  for (const Holding& holding : summary.oldest) json["oldest"].push_back(RowOf(holding));
  json["next"] = {{"cached_blocks", now.blocks.cached.value()},
                  {"promises_whole", whole},
                  {"rule", NameOf(served.info.victim)}};
  const bool all = std::ssize(holdings) >= now.reservations;  // or it might be one of the others
  if (!whole && served.loop != nullptr && all) {
    json["next"]["victim"] = VictimOf(holdings, served.info.victim, served.identity.block_tokens);
  }
  return Text(json);
}

std::string ServerJson(const Served& served) {
  const ServerInfo& info = served.info;
  return Text({{"version", info.version},
               {"epoch", info.epoch},
               {"pool", served.identity.pool},
               {"mode", info.mode == ServerMode::kEngine ? "engine" : "ledger"},
               {"device", info.device},
               {"model", info.model},
               {"memory", MemoryOf(served.Memory())}});
}

}  // namespace plimsoll
