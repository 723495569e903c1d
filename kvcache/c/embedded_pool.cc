#include "kvcache/c/embedded_pool.h"

#include <map>
#include <string_view>

#include "kvcache/c/answers.h"
#include "kvcache/c/boundary.h"
#include "kvcache/pool/eviction.h"

namespace plimsoll::c_interface {
namespace {

absl::StatusOr<Blocks> BlocksFrom(std::string_view field, int64_t n) {
  if (n >= 0) return Blocks(n);
  return BadField(field, n, "0 or more");
}

absl::StatusOr<KvCache::Options> CacheOptions(const plimsoll_pool_options& options) {
  const absl::StatusOr<Blocks> blocks = BlocksFrom("blocks", options.blocks);
  if (!blocks.ok()) return blocks.status();
  KvCache::Options out{.capacity = *blocks};
  if (options.block_tokens != 0) {
    const absl::StatusOr<Tokens> tokens = TokensFrom("block_tokens", options.block_tokens, 1);
    if (!tokens.ok()) return tokens.status();
    out.block_tokens = *tokens;
  }
  if (options.eviction != nullptr) {
    const std::string name = TextOf(options.eviction);
    const std::optional<Eviction> eviction = EvictionFromName(name);
    if (!eviction) return BadField("eviction", Excerpt(name), "off, fifo, lru or learned");
    out.eviction = *eviction;
  }
  out.hash_seed = options.hash_seed;
  return out;
}

absl::StatusOr<PolicyOptions> PolicyFrom(const plimsoll_class& its) {
  PolicyOptions out;
  if (its.policy != nullptr) {
    const std::string name = TextOf(its.policy);
    const std::optional<Policy> policy = PolicyFromName(name);
    if (!policy) return BadField("policy", Excerpt(name), "never-evict, watermark or quantile");
    out.policy = *policy;
  }
  out.watermark = its.watermark;
  if (its.overflow_goal != 0) out.overflow_goal = its.overflow_goal;
  return out;
}

absl::Status AddClasses(const plimsoll_admission_options& in, AdmissionOptions& out) {
  if (in.class_count > 0 && in.classes == nullptr) return NullArgument("classes");
  if (in.class_count > 17) {
    return BadField("class_count", std::to_string(in.class_count), "at most 17");
  }
  for (size_t i = 0; i < in.class_count; ++i) {
    const absl::StatusOr<PolicyOptions> policy = PolicyFrom(in.classes[i]);
    if (!policy.ok()) return policy.status();
    if (in.classes[i].name == nullptr) {
      out.policy = *policy;
    } else if (!out.classes.emplace(TextOf(in.classes[i].name), *policy).second) {
      return BadField("classes.name", Excerpt(TextOf(in.classes[i].name)), "each name once");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TenantQuota> QuotaFrom(const plimsoll_quota& quota) {
  const absl::StatusOr<Blocks> guaranteed = BlocksFrom("quotas.guaranteed", quota.guaranteed);
  if (!guaranteed.ok()) return guaranteed.status();
  const absl::StatusOr<Blocks> most = BlocksFrom("quotas.most", quota.most);
  if (!most.ok()) return most.status();
  TenantQuota out{.guaranteed = *guaranteed};
  if (*most > Blocks(0)) out.most = *most;
  return out;
}

absl::Status AddQuotas(const plimsoll_admission_options& in, AdmissionOptions& out) {
  if (in.quota_count > 0 && in.quotas == nullptr) return NullArgument("quotas");
  for (size_t i = 0; i < in.quota_count; ++i) {
    const absl::StatusOr<TenantQuota> quota = QuotaFrom(in.quotas[i]);
    if (!quota.ok()) return quota.status();
    if (in.quotas[i].tenant == nullptr) {
      out.quotas.others = *quota;
    } else if (!out.quotas.tenants.emplace(TextOf(in.quotas[i].tenant), *quota).second) {
      return BadField("quotas.tenant", Excerpt(TextOf(in.quotas[i].tenant)), "each tenant once");
    }
  }
  return absl::OkStatus();
}

absl::Status AddLimits(const plimsoll_admission_options& in, AdmissionOptions& out) {
  if (in.default_ttl_ns != 0) out.default_ttl = Duration(in.default_ttl_ns);
  if (in.max_ttl_ns != 0) out.max_ttl = Duration(in.max_ttl_ns);
  out.confirm_window = Duration(in.confirm_window_ns);
  if (in.max_context != 0) {
    const absl::StatusOr<Tokens> most = TokensFrom("max_context", in.max_context, 1);
    if (!most.ok()) return most.status();
    out.max_context = *most;
  }
  if (in.max_waiting != 0) out.max_waiting = in.max_waiting;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<EmbeddedPool>> EmbeddedPool::Create(
    const plimsoll_pool_options* options, const plimsoll_admission_options* admission) {
  const absl::StatusOr<plimsoll_pool_options> in = In("options", options);
  if (!in.ok()) return in.status();
  const absl::StatusOr<KvCache::Options> cache_options = CacheOptions(*in);
  if (!cache_options.ok()) return cache_options.status();
  absl::StatusOr<std::unique_ptr<KvCache>> cache = KvCache::Create(*cache_options);
  if (!cache.ok()) return cache.status();
  std::shared_ptr<EmbeddedPool> pool(new EmbeddedPool(*std::move(cache)));
  if (admission == nullptr) return pool;
  const absl::StatusOr<plimsoll_admission_options> its = In("admission", admission);
  if (!its.ok()) return its.status();
  PLIMSOLL_RETURN_IF_ERROR(pool->AddAdmission(*its));
  return pool;
}

absl::Status EmbeddedPool::AddAdmission(const plimsoll_admission_options& options) {
  AdmissionOptions out{.epoch = options.epoch == nullptr ? RandomEpoch() : TextOf(options.epoch)};
  PLIMSOLL_RETURN_IF_ERROR(AddLimits(options, out));
  PLIMSOLL_RETURN_IF_ERROR(AddClasses(options, out));
  PLIMSOLL_RETURN_IF_ERROR(AddQuotas(options, out));
  if (options.caller_clock != 0) callers_clock_ = std::make_unique<SimulatedClock>();
  MutexLock lock(mutex_);
  auto admission = AdmissionController::Create(out, *cache_, clock());
  if (!admission.ok()) return admission.status();
  admission_ = *std::move(admission);
  return absl::OkStatus();
}

const Clock& EmbeddedPool::clock() const {
  if (callers_clock_) return *callers_clock_;
  return system_clock_;
}

absl::Status EmbeddedPool::CheckAdmission() const {
  if (admission_) return absl::OkStatus();
  return absl::FailedPreconditionError("pool: made without admission");
}

absl::Status EmbeddedPool::CheckNoAdmission() const {
  if (!admission_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "pool: made with admission: its sequences begin on reservations, and are not forked");
}

void EmbeddedPool::Changed() {
  if (admission_) admission_->Advance();
}

absl::StatusOr<plimsoll_snapshot> EmbeddedPool::Snapshot() {
  MutexLock lock(mutex_);
  plimsoll_snapshot out{};
  const BlockCounts counts = cache_->counts();
  out.total_blocks = counts.total.value();
  out.live_blocks = counts.live.value();
  out.cached_blocks = counts.cached.value();
  out.reserved_blocks = counts.reserved.value();
  out.free_blocks = counts.free.value();
  out.sequences = cache_->sequences();
  const CacheUsage usage = cache_->Usage();
  out.unfilled_tokens = (usage.slots - usage.filled).value();
  if (!admission_) return out;
  const AdmissionSnapshot snapshot = admission_->Snapshot();
  SetCounts(snapshot, out);
  return out;
}

}  // namespace plimsoll::c_interface
