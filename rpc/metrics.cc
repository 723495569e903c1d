#include "rpc/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <map>
#include <utility>
#include <vector>

namespace plimsoll {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;
using Families = std::vector<MetricFamily>;

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// Families of one kind of numbers, each series under the pool's name and its own labels.
class Writer {
 public:
  explicit Writer(Labels common) : common_(std::move(common)) {}

  Writer& Gauge(const std::string& name, const std::string& help) {
    return Start(name, help, MetricType::Gauge);
  }
  Writer& Counter(const std::string& name, const std::string& help) {
    return Start(name, help, MetricType::Counter);
  }
  template <class Number>
  Writer& Value(Number value, const Labels& labels = {}) {
    ClientMetric metric = Series(labels);
    MetricFamily& family = families_.back();
    const auto number = static_cast<double>(value);
    (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = number;
    family.metric.push_back(std::move(metric));
    return *this;
  }
  void Histogram(const std::string& name, const std::string& help,
                 const DurationHistogram::Counts& counts) {
    Start(name, help, MetricType::Histogram);
    ClientMetric metric = Series({});
    uint64_t below = 0;
    for (size_t i = 0; i < DurationHistogram::kBounded; ++i) {
      below += static_cast<uint64_t>(counts.in_bucket[i]);
      metric.histogram.bucket.push_back(
          {.cumulative_count = below, .upper_bound = Seconds(DurationHistogram::Bound(i))});
    }
    metric.histogram.sample_count = below + static_cast<uint64_t>(counts.in_bucket.back());
    metric.histogram.sample_sum = Seconds(counts.sum);
    families_.back().metric.push_back(std::move(metric));
  }

  const Families& families() const { return families_; }

 private:
  Writer& Start(const std::string& name, const std::string& help, MetricType type) {
    families_.push_back({.name = name, .help = help, .type = type, .metric = {}});
    return *this;
  }
  ClientMetric Series(const Labels& labels) const {
    ClientMetric metric;
    metric.label = common_;
    metric.label.insert(metric.label.end(), labels.begin(), labels.end());
    return metric;
  }

  const Labels common_;
  Families families_;
};

void AddPool(const CapacityReport& report, Writer& out) {
  const AdmissionSnapshot& now = report.snapshot;
  out.Gauge("plimsoll_blocks", "Blocks of the pool by what they are.")
      .Value(now.blocks.live.value(), {{"state", "live"}})
      .Value(now.blocks.cached.value(), {{"state", "cached"}})
      .Value(now.blocks.reserved.value(), {{"state", "reserved"}})
      .Value(now.blocks.free.value(), {{"state", "free"}});
  out.Gauge("plimsoll_total_blocks", "All blocks of the pool.").Value(now.blocks.total.value());
  out.Gauge("plimsoll_headroom_blocks", "Blocks that a new request may still be promised.")
      .Value(now.headroom.value());
  out.Gauge("plimsoll_usage_ratio", "Live and reserved blocks of all blocks, 0 to 1.")
      .Value(UsageOf(now));
  out.Gauge("plimsoll_block_size_tokens", "Token slots in a block.")
      .Value(report.block_tokens.value());
  out.Gauge("plimsoll_block_size_bytes", "Bytes of a block; 0 where no model says.")
      .Value(report.block_bytes.value());
  out.Gauge("plimsoll_reserved_unused_tokens", "Token slots that are promised and not yet filled.")
      .Value(now.blocks.reserved.value() * report.block_tokens.value());
  out.Gauge("plimsoll_unfilled_tokens", "Token slots of live blocks that hold no token.")
      .Value(now.unfilled.value());
}

void AddRequests(const AdmissionSnapshot& now, const AdmissionTally& tally, Writer& out) {
  out.Gauge("plimsoll_reservations", "Reservations held.").Value(now.reservations);
  out.Gauge("plimsoll_waiting_requests", "Requests in the queue.").Value(now.waiting);
  out.Counter("plimsoll_decisions_total", "Answers to requests, by outcome and reason.")
      .Value(now.admitted, {{"outcome", "admitted"}, {"reason", "NONE"}});
  for (size_t i = 1; i < AdmissionTally::kReasons; ++i) {
    const auto reason = static_cast<Reason>(i);
    const bool never = reason == Reason::kNeverFits || reason == Reason::kTenantLimit;
    out.Value(tally.refused(reason),
              {{"outcome", never ? "never" : "wait"}, {"reason", std::string(NameOf(reason))}});
  }
  out.Counter("plimsoll_queued_admissions_total", "Requests admitted after queueing.")
      .Value(now.waited);
  out.Counter("plimsoll_releases_total", "Reservations released.").Value(now.released);
  out.Counter("plimsoll_lease_expired_total", "Leases that ended without a release.")
      .Value(tally.expired_silent(), {{"cause", "silent"}})
      .Value(tally.expired_unconfirmed(), {{"cause", "unconfirmed"}});
  out.Counter("plimsoll_preemptions_total", "Times that a running sequence stopped for another.")
      .Value(now.preempted);
}

// One series for each name, though a class may be called what is said of those without.
void AddClasses(const AdmissionTally& tally, Writer& out) {
  std::map<std::string, std::array<int64_t, 3>> by_class;
  for (const AdmissionTally::ClassCounts& each : tally.classes()) {
    std::array<int64_t, 3>& sum = by_class[each.name.empty() ? "none" : each.name];
    sum[0] += each.admitted;
    sum[1] += each.wait;
    sum[2] += each.never;
  }
  out.Counter("plimsoll_class_decisions_total",
              "Answers to requests, by class of requests and outcome.");
  for (const auto& [name, counts] : by_class) {
    out.Value(counts[0], {{"class", name}, {"outcome", "admitted"}})
        .Value(counts[1], {{"class", name}, {"outcome", "wait"}})
        .Value(counts[2], {{"class", name}, {"outcome", "never"}});
  }
}

void AddSessions(const SessionCounts& sessions, Writer& out) {
  out.Gauge("plimsoll_sessions",
            "Sessions that a stream has, and that wait for one to resume them.")
      .Value(sessions.attached.load(), {{"state", "attached"}})
      .Value(sessions.detached.load(), {{"state", "detached"}});
}

void AddTimes(const Served& served, Writer& out) {
  out.Histogram("plimsoll_queue_wait_seconds", "How long requests queued that did.",
                served.admission.tally().waits());
  out.Histogram("plimsoll_decision_seconds",
                "What it took to decide about a request, waiting for the lock included.",
                served.decisions.Read());
}

void AddHealth(const Served& served, Writer& out) {
  const HealthReport health = served.health.Check();
  out.Gauge("plimsoll_ready", "1 while the server is ready for requests.").Value(health.ready);
  out.Gauge("plimsoll_draining", "1 while new requests are turned away.")
      .Value(served.admission.published().Read().draining);
  out.Gauge("plimsoll_oldest_wait_seconds", "How long the oldest request in the queue waits.")
      .Value(Seconds(health.oldest_wait));
  out.Counter("plimsoll_conservation_violations_total",
              "Published states whose blocks did not add up.")
      .Value(served.housekeeper.violations());
}

// What the server could not do for those who look at it.
void AddLosses(const Served& served, const HttpCounts& http, Writer& out) {
  out.Counter("plimsoll_log_lines_lost_total",
              "Lines of the log that could not be written, or were too many of their kind.")
      .Value(served.log == nullptr ? 0 : served.log->lost(), {{"cause", "unwritten"}})
      .Value(served.log == nullptr ? 0 : served.log->suppressed(), {{"cause", "suppressed"}});
  out.Counter("plimsoll_http_turned_away_total",
              "Who was told 503 at the HTTP port: connections, because too many waited for a "
              "thread, and viewers of the page.")
      .Value(http.connections, {{"what", "connection"}})
      .Value(http.viewers, {{"what", "viewer"}});
}

void AddEngine(const Served& served, Writer& out) {
  const std::vector<MemoryStage> memory = served.Memory();
  if (!memory.empty()) {
    out.Gauge(
        "plimsoll_device_memory_bytes",
        "Memory that a stage of the start was predicted to take, and took; the pool as it is now.");
    for (const MemoryStage& stage : memory) {
      const std::string& device = served.info.device;
      out.Value(stage.predicted.value(),
                {{"device", device}, {"stage", stage.name}, {"kind", "predicted"}});
      out.Value(stage.measured.value(),
                {{"device", device}, {"stage", stage.name}, {"kind", "measured"}});
    }
  }
  if (served.loop == nullptr) return;
  const LoopStats stats = served.loop->Stats();
  out.Gauge("plimsoll_running_sequences", "Sequences that step.").Value(stats.running);
  out.Counter("plimsoll_steps_total", "Forward passes.").Value(stats.steps);
  out.Counter("plimsoll_failed_steps_total", "Forward passes that the device failed in.")
      .Value(stats.failed_steps);
  out.Gauge("plimsoll_device_failed", "1 once the device is given up: only a restart helps.")
      .Value(!served.loop->Failure().ok());
  out.Counter("plimsoll_step_seconds_total", "Time spent in them.").Value(Seconds(stats.busy));
  out.Counter("plimsoll_prompt_tokens_total", "Prompt tokens computed.").Value(stats.prompt_tokens);
  out.Counter("plimsoll_generated_tokens_total", "Tokens generated.").Value(stats.generated_tokens);
  out.Counter("plimsoll_recomputed_tokens_total", "Tokens computed again after a preemption.")
      .Value(stats.recomputed_tokens);
}

void AddIdentity(const Served& served, Writer& out) {
  const ServerInfo& info = served.info;
  out.Gauge("plimsoll_build_info", "1; what this server is.")
      .Value(1, {{"version", info.version},
                 {"mode", info.mode == ServerMode::kEngine ? "engine" : "ledger"},
                 {"device", info.device},
                 {"model", info.model}});
  out.Gauge("plimsoll_epoch", "1; the life of this server.").Value(1, {{"epoch", info.epoch}});
  out.Gauge("plimsoll_start_time_seconds", "When it started, since the Unix epoch.")
      .Value(Seconds(served.started.time_since_epoch()));
}

// The names and labels of vLLM's own exporter, one series each.
Families ForEndpointPickers(const CapacityReport& report, const std::string& model) {
  Writer out({{"model_name", model.empty() ? report.pool : model}, {"engine", "0"}});
  const AdmissionSnapshot& now = report.snapshot;
  out.Gauge("vllm:num_requests_running", "Reservations held.").Value(now.reservations);
  out.Gauge("vllm:num_requests_waiting", "Requests in the queue.").Value(now.waiting);
  out.Gauge("vllm:kv_cache_usage_perc", "Live and reserved blocks of all blocks, 0 to 1.")
      .Value(UsageOf(now));
  out.Gauge("vllm:cache_config_info", "1; the pool's dimensions.")
      .Value(1, {{"block_size", std::to_string(report.block_tokens.value())},
                 {"num_gpu_blocks", std::to_string(now.blocks.total.value())}});
  out.Gauge("vllm:lora_requests_info", "0; this server knows no adapters.")
      .Value(0, {{"max_lora", "0"}, {"running_lora_adapters", ""}, {"waiting_lora_adapters", ""}});
  return out.families();
}

}  // namespace

std::string MetricsText(const Served& served, const HttpCounts& http) {
  const CapacityReport report = served.Capacity();
  Writer out({{"pool", report.pool}});
  AddPool(report, out);
  AddRequests(report.snapshot, served.admission.tally(), out);
  AddClasses(served.admission.tally(), out);
  AddSessions(served.sessions, out);
  AddTimes(served, out);
  AddHealth(served, out);
  AddLosses(served, http, out);
  AddEngine(served, out);
  AddIdentity(served, out);
  Families families = out.families();
  const Families others = ForEndpointPickers(report, served.info.model);
  families.insert(families.end(), others.begin(), others.end());
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace plimsoll
