#include "tools/serve/tenant_rules.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kMostBlocks = int64_t{1} << 31;

// What stands before and after the last `mark`; nullopt where there is none.
std::optional<std::pair<std::string, std::string>> Split(const std::string& text, char mark) {
  const size_t at = text.rfind(mark);
  if (at == std::string::npos) return std::nullopt;
  return std::pair(text.substr(0, at), text.substr(at + 1));
}

std::optional<Blocks> BlocksFrom(const std::string& text) {
  int64_t n = 0;
  if (!absl::SimpleAtoi(text, &n) || n < 0 || n > kMostBlocks) return std::nullopt;
  return Blocks(n);
}

std::optional<TenantQuota> QuotaFrom(const std::string& text) {
  const auto parts = Split(text, ':');
  if (!parts) return std::nullopt;
  const std::optional<Blocks> guaranteed = BlocksFrom(parts->first);
  if (!guaranteed) return std::nullopt;
  TenantQuota quota{.guaranteed = *guaranteed};
  if (parts->second.empty()) return quota;
  const std::optional<Blocks> most = BlocksFrom(parts->second);
  if (!most) return std::nullopt;
  quota.most = *most;
  return quota;
}

std::optional<PolicyOptions> PolicyFrom(const std::string& text) {
  const size_t colon = text.find(':');
  const std::optional<Policy> policy = PolicyFromName(text.substr(0, colon));
  if (!policy) return std::nullopt;
  PolicyOptions options{.policy = *policy};
  if (colon == std::string::npos) return options;
  double setting = 0;
  if (*policy == Policy::kNeverEvict || !absl::SimpleAtod(text.substr(colon + 1), &setting)) {
    return std::nullopt;
  }
  (*policy == Policy::kWatermark ? options.watermark : options.overflow_goal) = setting;
  return options;
}

}  // namespace

absl::StatusOr<Quotas> ReadQuotas(const std::vector<std::string>& texts) {
  Quotas quotas;
  bool others = false;
  for (const std::string& text : texts) {
    const auto parts = Split(text, '=');
    const std::optional<TenantQuota> quota = parts ? QuotaFrom(parts->second) : std::nullopt;
    if (!quota) {
      return BadField("--quota", Excerpt(text), "TENANT=MIN:MAX, whole blocks; * for all others");
    }
    const bool of_others = parts->first == "*";
    const bool fresh =
        of_others ? !std::exchange(others, true) : !quotas.tenants.contains(parts->first);
    if (!fresh) return BadField("--quota", Excerpt(text), "each tenant once");
    (of_others ? quotas.others : quotas.tenants[parts->first]) = *quota;
  }
  return quotas;
}

absl::StatusOr<std::map<std::string, PolicyOptions>> ReadClasses(
    const std::vector<std::string>& texts) {
  std::map<std::string, PolicyOptions> classes;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::optional<PolicyOptions> options =
        equals == std::string::npos ? std::nullopt : PolicyFrom(text.substr(equals + 1));
    if (!options) {
      return BadField("--class", Excerpt(text),
                      "NAME=never-evict, NAME=watermark:SHARE or NAME=quantile:GOAL");
    }
    if (!classes.emplace(text.substr(0, equals), *options).second) {
      return BadField("--class", Excerpt(text), "each class once");
    }
  }
  return classes;
}

}  // namespace plimsoll
